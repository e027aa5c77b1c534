#include "actors/heartbeat_thread.h"

#include <atomic>
#include <condition_variable>
#include <mutex>

#include "gtest/gtest.h"

namespace sluice {
namespace {

TEST(HeartbeatThread, SendsWhatIsReadAgainAndAgainUntilItEnds) {
  std::mutex mu;
  std::condition_variable changed;
  int sent = 0;
  int64_t rss = 0;
  {
    HeartbeatThread thread(
        [&] {
          proto::Heartbeat heartbeat;
          heartbeat.set_step(41);
          return heartbeat;
        },
        [&](proto::Heartbeat heartbeat) {
          EXPECT_EQ(heartbeat.step(), 41);
          const std::lock_guard<std::mutex> lock(mu);
          ++sent;
          rss = heartbeat.rss_bytes();
          changed.notify_one();
        },
        absl::Milliseconds(1));
    std::unique_lock<std::mutex> lock(mu);
    changed.wait(lock, [&] { return sent >= 3; });
  }
  const int at_end = sent;
  EXPECT_EQ(sent, at_end);
  EXPECT_GT(rss, 1 << 20);
}

TEST(HeartbeatThread, EndsAtOnceWhateverItsPeriod) {
  HeartbeatThread thread([] { return proto::Heartbeat(); }, [](const proto::Heartbeat&) {},
                         absl::Hours(1));
}

}  // namespace
}  // namespace sluice
