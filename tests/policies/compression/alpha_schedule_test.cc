#include "policies/compression/alpha_schedule.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using testing::HasSubstr;

AlphaSchedule Schedule(const std::string& text) {
  const auto schedule = AlphaSchedule::Parse(text);
  EXPECT_TRUE(schedule.ok()) << schedule.status();
  return schedule.value_or(AlphaSchedule());
}

TEST(AlphaSchedule, LinearGoesStraightFromStartToEndAndStaysThere) {
  const AlphaSchedule schedule = Schedule("linear 0.5 1.5");
  EXPECT_DOUBLE_EQ(schedule.At(0, 200), 0.5);
  EXPECT_DOUBLE_EQ(schedule.At(50, 200), 0.75);
  EXPECT_DOUBLE_EQ(schedule.At(200, 200), 1.5);
  EXPECT_DOUBLE_EQ(schedule.At(900, 200), 1.5);
}

TEST(AlphaSchedule, CosineIsSlowAtBothEndsAndHalfWayInTheMiddle) {
  const AlphaSchedule schedule = Schedule("cosine 2 1");
  EXPECT_DOUBLE_EQ(schedule.At(0, 100), 2);
  EXPECT_NEAR(schedule.At(50, 100), 1.5, 1e-12);
  EXPECT_GT(schedule.At(10, 100), 1.9);
  EXPECT_LT(schedule.At(90, 100), 1.1);
  EXPECT_DOUBLE_EQ(schedule.At(100, 100), 1);
}

TEST(AlphaSchedule, AnOwnLengthGoesBeforeTheJobs) {
  const AlphaSchedule schedule = Schedule("linear 1 3 10");
  EXPECT_FALSE(schedule.needs_total());
  EXPECT_DOUBLE_EQ(schedule.At(5, 1000), 2);
  EXPECT_DOUBLE_EQ(schedule.At(5, 0), 2);
}

TEST(AlphaSchedule, WithoutAnyLengthItStaysAtItsStart) {
  EXPECT_TRUE(Schedule("cosine 0.25 4").needs_total());
  EXPECT_DOUBLE_EQ(Schedule("cosine 0.25 4").At(77, 0), 0.25);
}

TEST(AlphaSchedule, StepsHoldUntilTheNextOne) {
  const AlphaSchedule schedule = Schedule("steps 0:0.5 100:1  400:2");
  EXPECT_EQ(schedule.At(0, 0), 0.5);
  EXPECT_EQ(schedule.At(99, 0), 0.5);
  EXPECT_EQ(schedule.At(100, 0), 1);
  EXPECT_EQ(schedule.At(399, 0), 1);
  EXPECT_EQ(schedule.At(1'000'000, 0), 2);
}

TEST(AlphaSchedule, NeverLeavesTheRangeOfItsEnds) {
  for (const char* shape : {"linear", "cosine"}) {
    const AlphaSchedule schedule = Schedule(std::string(shape) + " 0.3 0.9");
    double before = 0;
    for (int64_t step = 0; step <= 1000; ++step) {
      const double alpha = schedule.At(step, 997);
      EXPECT_GE(alpha, before);
      EXPECT_LE(alpha, 0.9);
      before = alpha;
    }
  }
}

TEST(AlphaSchedule, MistakesAreNamed) {
  const std::pair<const char*, const char*> mistakes[] = {
      {"", "expected \"linear START END"},
      {"quadratic 1 2", "found \"quadratic 1 2\""},
      {"linear 1", "expected \"linear START END"},
      {"linear 0 1", "above 0"},
      {"cosine 1 1001", "at most 1000"},
      {"cosine 1 nan", "found \"nan\""},
      {"linear 1 2 0", "at least 1"},
      {"steps", "expected \"linear"},
      {"steps 5:1", "first at step 0"},
      {"steps 0:1 9:2 9:3", "at least 10"},
      {"steps 0:1 9", "found \"\""},
  };
  for (const auto& [text, says] : mistakes) {
    const auto schedule = AlphaSchedule::Parse(text);
    EXPECT_EQ(schedule.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(schedule.status().message()), HasSubstr(says)) << text;
  }
}

TEST(AlphaOf, AWindowsOwnGoesBeforeTheJobs) {
  proto::Compression config;
  config.set_alpha(1.25);
  proto::WindowStatistics window;
  EXPECT_EQ(AlphaOf(config, window), 1.25);
  window.set_alpha(0.5);
  EXPECT_EQ(AlphaOf(config, window), 0.5);
}

}  // namespace
}  // namespace sluice
