#include "training/schedule.h"

#include <cmath>

#include "gtest/gtest.h"

namespace sluice {
namespace {

proto::Schedule Schedule(const std::string& kind, int64_t warmup) {
  proto::Schedule schedule;
  schedule.set_kind(kind);
  schedule.set_warmup_steps(warmup);
  schedule.set_step_size(10);
  schedule.set_gamma(0.5);
  schedule.set_power(2);
  schedule.set_start_factor(0.04);
  schedule.set_peak_at(0.25);
  return schedule;
}

TEST(Schedule, ConstantStaysAtOne) {
  for (int64_t step : {0, 1, 99, 100, 1000}) {
    EXPECT_EQ(LearningRateFactor(Schedule("constant", 0), step, 100), 1) << step;
  }
}

TEST(Schedule, CosineFallsFromOneToZeroAtTheLastStepsEnd) {
  const auto cosine = Schedule("cosine", 0);
  EXPECT_DOUBLE_EQ(LearningRateFactor(cosine, 0, 100), 1);
  EXPECT_DOUBLE_EQ(LearningRateFactor(cosine, 50, 100), 0.5);
  EXPECT_DOUBLE_EQ(LearningRateFactor(cosine, 25, 100), (1 + std::sqrt(0.5)) / 2);
  EXPECT_GT(LearningRateFactor(cosine, 99, 100), 0);
  EXPECT_EQ(LearningRateFactor(cosine, 100, 100), 0);
  EXPECT_EQ(LearningRateFactor(cosine, 150, 100), 0);
  for (int64_t step = 1; step <= 100; ++step) {
    EXPECT_LT(LearningRateFactor(cosine, step, 100), LearningRateFactor(cosine, step - 1, 100));
  }
}

TEST(Schedule, StepMultipliesByGammaEveryStepSize) {
  const auto step = Schedule("step", 0);
  EXPECT_EQ(LearningRateFactor(step, 9, 100), 1);
  EXPECT_EQ(LearningRateFactor(step, 10, 100), 0.5);
  EXPECT_EQ(LearningRateFactor(step, 19, 100), 0.5);
  EXPECT_EQ(LearningRateFactor(step, 20, 100), 0.25);
}

TEST(Schedule, PolynomialCountsTheRestOfTheJobWithItsPower) {
  auto polynomial = Schedule("polynomial", 0);
  EXPECT_DOUBLE_EQ(LearningRateFactor(polynomial, 0, 100), 1);
  EXPECT_DOUBLE_EQ(LearningRateFactor(polynomial, 50, 100), 0.25);
  EXPECT_DOUBLE_EQ(LearningRateFactor(polynomial, 90, 100), 0.01);
  EXPECT_EQ(LearningRateFactor(polynomial, 100, 100), 0);
  EXPECT_EQ(LearningRateFactor(polynomial, 150, 100), 0);
  polynomial.set_power(1);
  EXPECT_DOUBLE_EQ(LearningRateFactor(polynomial, 75, 100), 0.25);
}

TEST(Schedule, OneCycleRisesToItsPeakAndFalls) {
  auto cycle = Schedule("one_cycle", 0);
  EXPECT_DOUBLE_EQ(LearningRateFactor(cycle, 0, 200), 0.04);
  EXPECT_DOUBLE_EQ(LearningRateFactor(cycle, 25, 200), 0.52);  // half way up
  EXPECT_DOUBLE_EQ(LearningRateFactor(cycle, 50, 200), 1);
  EXPECT_DOUBLE_EQ(LearningRateFactor(cycle, 125, 200), 0.5);   // half way down
  EXPECT_DOUBLE_EQ(LearningRateFactor(cycle, 100, 200), 0.75);  // a third: (1 + cos(pi / 3)) / 2
  EXPECT_EQ(LearningRateFactor(cycle, 200, 200), 0);
  for (int64_t step = 1; step <= 200; ++step) {
    const double change =
        LearningRateFactor(cycle, step, 200) - LearningRateFactor(cycle, step - 1, 200);
    EXPECT_EQ(change > 0, step <= 50) << step;
  }
}

TEST(Schedule, OneCyclesPeakMayBeAtEitherEnd) {
  auto cycle = Schedule("one_cycle", 0);
  cycle.set_peak_at(0);
  EXPECT_DOUBLE_EQ(LearningRateFactor(cycle, 0, 100), 1);
  EXPECT_DOUBLE_EQ(LearningRateFactor(cycle, 50, 100), 0.5);
  cycle.set_peak_at(1);
  EXPECT_DOUBLE_EQ(LearningRateFactor(cycle, 50, 100), 0.52);
  EXPECT_EQ(LearningRateFactor(cycle, 100, 100), 0);
}

TEST(Schedule, TheFinalFactorIsWhereCurvesEndAndStay) {
  for (const char* kind : {"cosine", "polynomial", "one_cycle"}) {
    auto schedule = Schedule(kind, 0);
    schedule.set_final_factor(0.2);
    EXPECT_NEAR(LearningRateFactor(schedule, 999999, 1000000), 0.2, 1e-5) << kind;
    EXPECT_EQ(LearningRateFactor(schedule, 100, 100), 0.2) << kind;
    EXPECT_EQ(LearningRateFactor(schedule, 1000, 100), 0.2) << kind;
  }
  auto cosine = Schedule("cosine", 0);
  cosine.set_final_factor(0.2);
  EXPECT_DOUBLE_EQ(LearningRateFactor(cosine, 50, 100), 0.6);
}

TEST(Schedule, WarmupIsLinearAndTheCurveStartsAfterIt) {
  for (const char* kind : {"constant", "cosine", "step", "polynomial"}) {
    const auto schedule = Schedule(kind, 4);
    EXPECT_DOUBLE_EQ(LearningRateFactor(schedule, 0, 104), 0.25) << kind;
    EXPECT_DOUBLE_EQ(LearningRateFactor(schedule, 1, 104), 0.5) << kind;
    EXPECT_DOUBLE_EQ(LearningRateFactor(schedule, 3, 104), 1) << kind;
    EXPECT_DOUBLE_EQ(LearningRateFactor(schedule, 4, 104), 1) << kind;
  }
  EXPECT_DOUBLE_EQ(LearningRateFactor(Schedule("cosine", 4), 54, 104), 0.5);
  EXPECT_DOUBLE_EQ(LearningRateFactor(Schedule("step", 4), 14, 104), 0.5);
}

TEST(Schedule, AWarmupLongerThanTheJobIsAllWarmup) {
  EXPECT_DOUBLE_EQ(LearningRateFactor(Schedule("cosine", 200), 99, 100), 0.5);
  EXPECT_EQ(LearningRateFactor(Schedule("cosine", 200), 200, 100), 0);
}

}  // namespace
}  // namespace sluice
