#include "training/progress_probe.h"

#include <atomic>
#include <thread>

#include "gtest/gtest.h"

namespace sluice {
namespace {

TEST(ProgressProbe, SaysStepPhaseAndTimeInIt) {
  absl::Time now = absl::UnixEpoch();
  ProgressProbe probe([&] { return now; });
  EXPECT_EQ(probe.Read().step(), -1);
  EXPECT_EQ(probe.Read().phase(), proto::WORK_PHASE_UNSPECIFIED);
  probe.Enter(Step(7), proto::WORK_PHASE_COMPUTE);
  now += absl::Seconds(3);
  EXPECT_EQ(probe.Read().step(), 7);
  EXPECT_EQ(probe.Read().phase(), proto::WORK_PHASE_COMPUTE);
  EXPECT_DOUBLE_EQ(probe.Read().seconds_in_phase(), 3);
  probe.Enter(proto::WORK_PHASE_EVALUATION);
  EXPECT_EQ(probe.Read().step(), 7);
  EXPECT_DOUBLE_EQ(probe.Read().seconds_in_phase(), 0);
}

TEST(ProgressProbe, AClockThatGoesBackGivesNoNegativeTimes) {
  absl::Time now = absl::UnixEpoch();
  ProgressProbe probe([&] { return now; });
  probe.Enter(Step(0), proto::WORK_PHASE_DATA);
  now -= absl::Seconds(9);
  EXPECT_DOUBLE_EQ(probe.Read().seconds_in_phase(), 0);
}

// Step s is only ever seen with its own phase.
TEST(ProgressProbe, ReadersNeverSeeHalfOfAChange) {
  ProgressProbe probe([] { return absl::UnixEpoch(); });
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (int64_t s = 0; s < 200000; ++s) {
      probe.Enter(Step(s), s % 2 == 0 ? proto::WORK_PHASE_DATA : proto::WORK_PHASE_REDUCE);
    }
    stop = true;
  });
  while (!stop) {
    const proto::Heartbeat seen = probe.Read();
    if (seen.step() < 0) continue;
    ASSERT_EQ(seen.phase(),
              seen.step() % 2 == 0 ? proto::WORK_PHASE_DATA : proto::WORK_PHASE_REDUCE);
  }
  writer.join();
}

}  // namespace
}  // namespace sluice
