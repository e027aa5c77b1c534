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

TEST(Schedule, WarmupIsLinearAndTheCurveStartsAfterIt) {
  for (const char* kind : {"constant", "cosine", "step"}) {
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
