#include <future>
#include <mutex>
#include <string>
#include <thread>

#include "comm/reducer/frame_header.h"
#include "comm/reducer/reducer.h"
#include "comm/transport/faulty_transport.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/comm/reducer/world.h"

namespace sluice {
namespace {

using testing::HasSubstr;

World MakeWorld(int world_size) {
  World world;
  world.tensors = MixedTensors();
  world.bucket_bytes = 8192;
  world.options.world_size = world_size;
  return world;
}

// Steps until something fails, at most `steps`. Every rank leaves at its first error, as a process
// would, which the others notice.
std::vector<absl::Status> EndsOf(const World& world, int64_t steps) {
  std::vector<absl::Status> ends(world.options.world_size);
  world.Run([&](Rank rank, Reducer& reducer) {
    for (int64_t s = 0; s < steps && ends[rank.value].ok(); ++s) {
      ends[rank.value] = RunStep(reducer, Step(s), rank).status();
    }
  });
  return ends;
}

// Rank 0's transport is scripted.
World WithFaults(int world_size, const std::function<void(FaultyTransport&)>& script) {
  World world = MakeWorld(world_size);
  world.wrap = [=](Rank rank, std::unique_ptr<Transport> inner) -> std::unique_ptr<Transport> {
    if (rank != Rank(0)) return inner;
    auto faulty = std::make_unique<FaultyTransport>(std::move(inner));
    script(*faulty);
    return faulty;
  };
  return world;
}

TEST(ReducerFault, ADamagedFrameIsRefusedByItsReceiver) {
  struct Damage {
    size_t offset;
    absl::StatusCode code;
    std::string says;
  };
  const Damage damages[] = {
      {0, absl::StatusCode::kDataLoss, "does not start with"},
      {3, absl::StatusCode::kFailedPrecondition, "frame format 252, expected 3"},
      {4, absl::StatusCode::kFailedPrecondition, "rank 0 sent plan version 255, rank 1 is at"},
      {12, absl::StatusCode::kFailedPrecondition, "rank 0 sent bucket 255, rank 1 is at bucket 0"},
      {16, absl::StatusCode::kFailedPrecondition, "rank 0 sent step 255, rank 1 is at step 0"},
      {24, absl::StatusCode::kFailedPrecondition, "rank 0 sent segment 255, rank 1 is at"},
      {28, absl::StatusCode::kFailedPrecondition, "rank 0 sent exchange 255, rank 1 is at"},
      {kFrameHeaderBytes, absl::StatusCode::kDataLoss, "tensor head."},
  };
  for (const Damage& damage : damages) {
    SCOPED_TRACE(damage.says);
    // The first message of rank 0 goes to rank 1 in round 1 of bucket 0.
    const auto ends =
        EndsOf(WithFaults(3, [&](FaultyTransport& t) { t.CorruptNthSend(1, damage.offset); }), 2);
    EXPECT_EQ(ends[1].code(), damage.code);
    EXPECT_THAT(std::string(ends[1].message()), HasSubstr(damage.says));
    EXPECT_THAT(std::string(ends[1].message()), HasSubstr("step 0 bucket 0"));
    EXPECT_THAT(std::string(ends[1].message()), HasSubstr("rank 0"));
    EXPECT_FALSE(ends[0].ok());
    EXPECT_FALSE(ends[2].ok());
  }
}

TEST(ReducerFault, AFailureAtAnyMessageEndsAllRanks) {
  // 3 buckets, 2 rounds, 2 other ranks: 12 messages each way per step; then the second step.
  for (int n = 1; n <= 20; ++n) {
    const absl::Status gone = absl::UnavailableError("the wire was cut");
    const auto ends = EndsOf(WithFaults(3, [&](FaultyTransport& t) { t.FailNthSend(n, gone); }), 2);
    for (const absl::Status& end : ends) EXPECT_FALSE(end.ok()) << "send " << n;
    EXPECT_THAT(std::string(ends[0].message()), HasSubstr(n <= 12 ? "step 0" : "step 1"));
    for (const absl::Status& end :
         EndsOf(WithFaults(3, [&](FaultyTransport& t) { t.FailNthReceive(n, gone); }), 2)) {
      EXPECT_FALSE(end.ok()) << "receive " << n;
    }
  }
}

TEST(ReducerFault, TheFirstErrorStays) {
  const World world = WithFaults(
      2, [](FaultyTransport& t) { t.FailNthSend(1, absl::UnavailableError("the wire was cut")); });
  world.Run([](Rank rank, Reducer& reducer) {
    const absl::Status first = RunStep(reducer, Step(0), rank).status();
    EXPECT_EQ(first.code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(RunStep(reducer, Step(1), rank).status(), first);
    float value = 1;
    EXPECT_EQ(reducer.AllReduceMean(absl::MakeSpan(&value, 1)), first);
  });
}

TEST(ReducerFault, ADeadPeerEndsTheStepOfAllOthers) {
  const World world = MakeWorld(4);
  std::vector<absl::Status> ends(4);
  world.Run([&](Rank rank, Reducer& reducer) {
    const int64_t steps = rank == Rank(2) ? 3 : 10;
    for (int64_t s = 0; s < steps && ends[rank.value].ok(); ++s) {
      ends[rank.value] = RunStep(reducer, Step(s), rank).status();
    }
  });
  EXPECT_TRUE(ends[2].ok());
  for (int r : {0, 1, 3}) {
    EXPECT_EQ(ends[r].code(), absl::StatusCode::kUnavailable) << ends[r];
    EXPECT_THAT(std::string(ends[r].message()), HasSubstr("step 3 bucket 0"));
  }
}

TEST(ReducerFault, APeerThatNeverComesRunsIntoTheTimeout) {
  World world = MakeWorld(2);
  world.options.timeout = absl::Milliseconds(20);
  std::promise<void> over;
  world.Run([&](Rank rank, Reducer& reducer) {
    if (rank == Rank(1)) return over.get_future().wait();  // is there, but does nothing
    const absl::Status end = RunStep(reducer, Step(0), rank).status();
    EXPECT_EQ(end.code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_THAT(std::string(end.message()), HasSubstr("step 0 bucket 0"));
    EXPECT_THAT(std::string(end.message()), HasSubstr("rank 1"));
    over.set_value();
  });
}

TEST(ReducerFault, AbortFromAnotherThreadEndsTheWaitWithItsReason) {
  const World world = MakeWorld(2);
  std::promise<void> over;
  world.Run([&](Rank rank, Reducer& reducer) {
    if (rank == Rank(1)) return over.get_future().wait();
    std::thread actor([&] { reducer.Abort("generation 4 is closed"); });
    const absl::Status end = RunStep(reducer, Step(0), rank).status();
    actor.join();
    EXPECT_EQ(end.code(), absl::StatusCode::kCancelled);
    EXPECT_THAT(std::string(end.message()), HasSubstr("generation 4 is closed"));
    over.set_value();
  });
}

TEST(ReducerFault, AbortBetweenStepsEndsTheNextOne) {
  for (int world_size : {1, 2}) {
    MakeWorld(world_size).Run([](Rank rank, Reducer& reducer) {
      ASSERT_TRUE(RunStep(reducer, Step(0), rank).ok());
      float value = 1;
      ASSERT_TRUE(reducer.AllReduceMean(absl::MakeSpan(&value, 1)).ok());
      reducer.Abort("generation 4 is closed");
      reducer.Abort("a later reason");
      const absl::Status end = RunStep(reducer, Step(1), rank).status();
      EXPECT_EQ(end.code(), absl::StatusCode::kCancelled);
      EXPECT_THAT(std::string(end.message()), HasSubstr("generation 4 is closed"));
      EXPECT_FALSE(reducer.AllReduceMean(absl::MakeSpan(&value, 1)).ok());
    });
  }
}

TEST(ReducerFault, AMeanEndsWithTheDeathOfAPeer) {
  MakeWorld(2).Run([](Rank rank, Reducer& reducer) {
    ASSERT_TRUE(RunStep(reducer, Step(7), rank).ok());
    if (rank == Rank(1)) return;
    std::vector<float> data(10);
    const absl::Status end = reducer.AllReduceMean(absl::MakeSpan(data));
    EXPECT_EQ(end.code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(std::string(end.message()), HasSubstr("mean after step 7"));
  });
}

TEST(ReducerFault, AMeanInAStepEndsThatStepWithTheDeathOfAPeer) {
  MakeWorld(2).Run([](Rank rank, Reducer& reducer) {
    ASSERT_TRUE(RunStep(reducer, Step(7), rank).ok());
    if (rank == Rank(1)) return;
    reducer.BeginStep(Step(8));
    reducer.Ready(0);  // may be in flight by now, and never ends
    std::vector<float> data(10);
    const absl::Status end = reducer.AllReduceMean(absl::MakeSpan(data));
    EXPECT_EQ(end.code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(reducer.Finish().status(), end);
    EXPECT_EQ(RunStep(reducer, Step(9), rank).status(), end);
  });
}

TEST(ReducerFault, AbortEndsAMeanInAStep) {
  const World world = MakeWorld(2);
  std::promise<void> over;
  world.Run([&](Rank rank, Reducer& reducer) {
    if (rank == Rank(1)) return over.get_future().wait();
    reducer.BeginStep(Step(0));
    std::thread actor([&] { reducer.Abort("generation 4 is closed"); });
    float value = 1;
    const absl::Status end = reducer.AllReduceMean(absl::MakeSpan(&value, 1));
    actor.join();
    EXPECT_EQ(end.code(), absl::StatusCode::kCancelled);
    EXPECT_THAT(std::string(end.message()), HasSubstr("generation 4 is closed"));
    EXPECT_EQ(reducer.Finish().status(), end);
    over.set_value();
  });
}

TEST(ReducerFault, DestructionEndsAStepInFlight) {
  const World world = MakeWorld(2);
  std::promise<void> over;
  world.Run([&](Rank rank, Reducer& reducer) {
    if (rank == Rank(1)) return over.get_future().wait();
    reducer.BeginStep(Step(0));
    for (int t = 0; t < 8; ++t) reducer.Ready(t);
    over.set_value();  // the reducer goes without Finish; rank 1 never takes part
  });
}

TEST(ReducerFault, DestructionWithoutAStepIsQuick) {
  MakeWorld(3).Run([](Rank, Reducer& reducer) { reducer.BeginStep(Step(0)); });
}

}  // namespace
}  // namespace sluice
