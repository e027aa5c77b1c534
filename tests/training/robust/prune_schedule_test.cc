#include "training/robust/prune_schedule.h"

#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

std::vector<int64_t> StepsThatPrune(const PruneSchedule& schedule, int64_t steps) {
  std::vector<int64_t> due;
  for (int64_t s = 0; s < steps; ++s) {
    if (schedule.At(s)) due.push_back(s);
  }
  return due;
}

TEST(PruneSchedule, AtOnceWhereBeginAndEndAreEqual) {
  const PruneSchedule at_start(0.9, 0, 0, 100), halfway(0.9, 0.5, 0.5, 101);
  EXPECT_EQ(StepsThatPrune(at_start, 100), std::vector<int64_t>{0});
  EXPECT_EQ(StepsThatPrune(halfway, 101), std::vector<int64_t>{50});
  EXPECT_EQ(halfway.At(50), 0.9);
}

TEST(PruneSchedule, TheLastStepIsEarlyEnoughForTheEnd) {
  const PruneSchedule schedule(0.9, 1, 1, 7);
  EXPECT_EQ(StepsThatPrune(schedule, 7), std::vector<int64_t>{6});
}

TEST(PruneSchedule, NothingToPruneIsNeverDue) {
  EXPECT_TRUE(StepsThatPrune(PruneSchedule(0, 0, 1, 50), 50).empty());
}

// Whatever the spans: it grows, in at most 20 goes, and ends with the whole share.
TEST(PruneSchedule, GrowsToTheWholeShare) {
  for (const int64_t steps : {1, 2, 3, 5, 19, 20, 21, 22, 40, 41, 63, 100, 1000}) {
    for (const double begin : {0.0, 0.1, 0.5}) {
      const PruneSchedule schedule(0.8, begin, 0.75, steps);
      double last = 0;
      const auto due = StepsThatPrune(schedule, steps);
      ASSERT_FALSE(due.empty()) << steps;
      EXPECT_LE(due.size(), 20u);
      for (const int64_t s : due) {
        EXPECT_GT(*schedule.At(s), last) << steps << " at " << s;
        last = *schedule.At(s);
      }
      EXPECT_EQ(last, 0.8) << steps;
    }
  }
}

TEST(PruneSchedule, MostGoesEarly) {
  const PruneSchedule schedule(0.8, 0, 1, 101);
  EXPECT_NEAR(*schedule.At(50), 0.7, 1e-12);
}

}  // namespace
}  // namespace sluice
