#include <atomic>
#include <thread>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "comm/reducer/reducer.h"
#include "comm/reducer/wait_board.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/comm/reducer/world.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

World MakeWorld(int world_size) {
  World world;
  world.tensors = MixedTensors();
  world.bucket_bytes = 8192;
  world.options.world_size = world_size;
  return world;
}

TEST(WaitBoard, SaysWhatWasPosted) {
  WaitBoard board(130);
  EXPECT_EQ(board.Read().bucket, -1);
  board.Post(7, 130, [](int rank) { return rank == 0 || rank == 64 || rank == 129; });
  EXPECT_EQ(board.Read().bucket, 7);
  EXPECT_THAT(board.Read().waiting_for, ElementsAre(0, 64, 129));
  board.Post(8, 130, [](int rank) { return rank == 63; });
  EXPECT_THAT(board.Read().waiting_for, ElementsAre(63));
  board.Clear();
  EXPECT_EQ(board.Read().bucket, -1);
  EXPECT_THAT(board.Read().waiting_for, IsEmpty());
}

// Rank 2 comes late: the others wait for it and for nobody else, in its first bucket.
TEST(ReducerProgress, NamesWhoIsWaitedFor) {
  const World world = MakeWorld(4);
  std::atomic<int> saw{0};
  world.Run([&](Rank rank, Reducer& reducer) {
    EXPECT_EQ(reducer.progress().bucket, -1);
    ASSERT_TRUE(RunStep(reducer, Step(0), rank).ok());
    EXPECT_EQ(reducer.progress().bucket, -1);
    if (rank == Rank(2)) {
      while (saw < 3) std::this_thread::yield();
    } else {
      std::thread watcher([&] {
        const absl::Time deadline = absl::Now() + absl::Seconds(20);
        ReducerProgress seen;
        while (seen.waiting_for != std::vector<int>{2} && absl::Now() < deadline) {
          seen = reducer.progress();
          std::this_thread::yield();
        }
        EXPECT_EQ(seen.bucket, 0);
        EXPECT_THAT(seen.waiting_for, ElementsAre(2));
        ++saw;
      });
      ASSERT_TRUE(RunStep(reducer, Step(1), rank).ok());
      watcher.join();
      return;
    }
    ASSERT_TRUE(RunStep(reducer, Step(1), rank).ok());
  });
}

TEST(ReducerProgress, AloneNobodyIsWaitedFor) {
  const World world = MakeWorld(1);
  world.Run([&](Rank rank, Reducer& reducer) {
    ASSERT_TRUE(RunStep(reducer, Step(0), rank).ok());
    EXPECT_THAT(reducer.progress().waiting_for, IsEmpty());
  });
}

}  // namespace
}  // namespace sluice
