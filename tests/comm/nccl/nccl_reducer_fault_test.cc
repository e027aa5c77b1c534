#include <future>
#include <string>
#include <thread>
#include <vector>

#include "comm/nccl/fake_libraries.h"
#include "comm/nccl/nccl_reducer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/comm/nccl/nccl_world.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string MessageOf(const absl::Status& status) { return std::string(status.message()); }

class NcclReducerFaultTest : public testing::Test {
 protected:
  ~NcclReducerFaultTest() override {
    EXPECT_EQ(libraries_.live_objects(), 0) << "a failure must not leak";
  }

  FakeLibraries libraries_;
  GpuLibraryPtr gpu_ = ProbeGpu(libraries_).library;
};

TEST_F(NcclReducerFaultTest, AFailedCollectiveEndsAllRanksAndTheErrorStays) {
  libraries_.FailNthCall(1, "ncclAllReduce", 5, ncclSystemError);  // step 1, bucket 1
  NcclWorld(*gpu_, 4).Run([&](Rank rank, Reducer& reducer) {
    ASSERT_TRUE(RunNcclStep(reducer, Step(0), rank).ok());
    const absl::Status first = RunNcclStep(reducer, Step(1), rank).status();
    EXPECT_EQ(first.code(), absl::StatusCode::kUnavailable);
    // The others may notice while they still wait for the bucket before.
    const std::string where = ToString(rank) + " device " + std::to_string(rank.value) + ": ";
    EXPECT_THAT(MessageOf(first), AllOf(HasSubstr("step 1 bucket "), HasSubstr(where)));
    EXPECT_THAT(MessageOf(first),
                rank == Rank(1)
                    ? HasSubstr("bucket 1: rank 1 device 1: ncclAllReduce: unhandled system error "
                                "(NCCL error 2): scripted: ncclAllReduce")
                    : HasSubstr("in flight: remote process exited"));
    EXPECT_EQ(RunNcclStep(reducer, Step(2), rank).status(), first);
    float value = 1;
    EXPECT_EQ(reducer.AllReduceMean(absl::MakeSpan(&value, 1)), first);
  });
}

TEST_F(NcclReducerFaultTest, AnyFailedCallEndsTheStepWithItsName) {
  for (const std::string function : {"cudaMemcpyAsync", "cudaEventRecord", "cudaEventQuery"}) {
    libraries_.FailNthCall(0, function, 1, cudaErrorIllegalAddress);
    NcclWorld(*gpu_, 2).Run([&](Rank rank, Reducer& reducer) {
      absl::Status end = RunNcclStep(reducer, Step(0), rank).status();
      if (rank == Rank(0)) {
        EXPECT_EQ(end.code(), absl::StatusCode::kInternal) << function;
        EXPECT_THAT(MessageOf(end),
                    AllOf(HasSubstr("step 0 bucket 0: rank 0 device 0: "), HasSubstr(function)));
        return;
      }
      // The failure may have come when the other rank had all it needed for this step.
      if (end.ok()) end = RunNcclStep(reducer, Step(1), rank).status();
      EXPECT_EQ(end.code(), absl::StatusCode::kUnavailable) << function;
    });
  }
}

TEST_F(NcclReducerFaultTest, AnAsynchronousErrorEndsAWaitingStep) {
  std::promise<void> over;
  NcclWorld(*gpu_, 2).Run([&](Rank rank, Reducer& reducer) {
    if (rank == Rank(1)) return over.get_future().wait();
    std::thread network([&] { libraries_.SetAsyncError(0, ncclSystemError); });
    const absl::Status end = RunNcclStep(reducer, Step(0), rank).status();
    network.join();
    EXPECT_EQ(end.code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(MessageOf(end), AllOf(HasSubstr("step 0 bucket 0: rank 0 device 0: "),
                                      HasSubstr("scripted: asynchronous error")));
    over.set_value();
  });
}

TEST_F(NcclReducerFaultTest, APeerThatLeftEndsTheNextStep) {
  NcclWorld(*gpu_, 2).Run([&](Rank rank, Reducer& reducer) {
    ASSERT_TRUE(RunNcclStep(reducer, Step(0), rank).ok());
    if (rank == Rank(0)) return;  // leaves after step 0
    const absl::Status end = RunNcclStep(reducer, Step(1), rank).status();
    EXPECT_EQ(end.code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(MessageOf(end), AllOf(HasSubstr("step 1 bucket 0: rank 1 device 1"),
                                      HasSubstr("connection closed by peer")));
  });
}

TEST_F(NcclReducerFaultTest, AMeanFailsLikeAStep) {
  NcclWorld(*gpu_, 2).Run([&](Rank rank, Reducer& reducer) {
    ASSERT_TRUE(RunNcclStep(reducer, Step(7), rank).ok());
    if (rank == Rank(0)) return;
    std::vector<float> data(10);
    const absl::Status end = reducer.AllReduceMean(absl::MakeSpan(data));
    EXPECT_EQ(end.code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(MessageOf(end), HasSubstr("mean after step 7: rank 1 device 1"));
    EXPECT_EQ(RunNcclStep(reducer, Step(8), rank).status(), end);
  });
}

TEST_F(NcclReducerFaultTest, APeerThatNeverStepsRunsIntoTheTimeout) {
  NcclWorld world(*gpu_, 2);
  std::promise<void> over;
  world.options.timeout = absl::Seconds(1);
  world.Run([&](Rank rank, Reducer& reducer) {
    if (rank == Rank(1)) return over.get_future().wait();  // is there, but does nothing
    const absl::Status end = RunNcclStep(reducer, Step(0), rank).status();
    EXPECT_EQ(end.code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_THAT(MessageOf(end),
                HasSubstr("step 0 bucket 0: rank 0 device 0: not reduced after 1s"));
    over.set_value();
  });
}

TEST_F(NcclReducerFaultTest, ARankThatNeverComesRunsIntoTheTimeout) {
  NcclWorld world(*gpu_, 2);
  world.options.timeout = absl::Milliseconds(20);
  const absl::Status end = world.Make(Rank(0), *NewNcclId(*gpu_)).status();
  EXPECT_EQ(end.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(MessageOf(end), HasSubstr("rank 0 device 0: ncclCommInitRankConfig of 2 ranks"));
}

TEST_F(NcclReducerFaultTest, AbortFromAnotherThreadEndsTheWaitWithItsReason) {
  std::promise<void> over;
  NcclWorld(*gpu_, 2).Run([&](Rank rank, Reducer& reducer) {
    if (rank == Rank(1)) return over.get_future().wait();
    std::thread actor([&] { reducer.Abort("generation 4 is closed"); });
    const absl::Status end = RunNcclStep(reducer, Step(0), rank).status();
    actor.join();
    EXPECT_EQ(end.code(), absl::StatusCode::kCancelled);
    EXPECT_THAT(MessageOf(end), HasSubstr("generation 4 is closed"));
    over.set_value();
  });
}

TEST_F(NcclReducerFaultTest, AbortBetweenStepsEndsTheNextOne) {
  for (int world_size : {1, 2}) {
    NcclWorld(*gpu_, world_size).Run([](Rank rank, Reducer& reducer) {
      ASSERT_TRUE(RunNcclStep(reducer, Step(0), rank).ok());
      float value = 1;
      ASSERT_TRUE(reducer.AllReduceMean(absl::MakeSpan(&value, 1)).ok());
      reducer.Abort("generation 4 is closed");
      reducer.Abort("a later reason");
      const absl::Status end = RunNcclStep(reducer, Step(1), rank).status();
      EXPECT_EQ(end.code(), absl::StatusCode::kCancelled);
      EXPECT_THAT(MessageOf(end), HasSubstr("generation 4 is closed"));
      EXPECT_EQ(reducer.AllReduceMean(absl::MakeSpan(&value, 1)), end);
    });
  }
}

TEST_F(NcclReducerFaultTest, DestructionEndsAStepInFlight) {
  std::promise<void> over;
  NcclWorld(*gpu_, 2).Run([&](Rank rank, Reducer& reducer) {
    if (rank == Rank(1)) return over.get_future().wait();
    reducer.BeginStep(Step(0));
    for (int t = 0; t < 4; ++t) reducer.Ready(t);
    over.set_value();  // the reducer goes without Finish; rank 1 never takes part
  });
}

TEST_F(NcclReducerFaultTest, LackOfMemoryNamesRankDeviceAndBytes) {
  const NcclWorld world(*gpu_, 2);
  libraries_.FailNthCall(1, "cudaMalloc", 2, cudaErrorMemoryAllocation);
  EXPECT_EQ(world.Make(Rank(1), *NewNcclId(*gpu_)).status(),
            absl::ResourceExhaustedError("rank 1 device 1: cudaMalloc of 4000 bytes: out of memory "
                                         "(cudaErrorMemoryAllocation)"));
}

TEST_F(NcclReducerFaultTest, EveryCallWhileCreatingMayFail) {
  const NcclWorld world(*gpu_, 2);
  for (const std::string function :
       {"cudaSetDevice", "cudaStreamCreateWithFlags", "cudaHostAlloc", "cudaMalloc",
        "cudaEventCreateWithFlags", "ncclCommInitRankConfig", "ncclCommGetAsyncError"}) {
    libraries_.FailNthCall(0, function, 1, 3);
    const absl::Status end = world.Make(Rank(0), *NewNcclId(*gpu_)).status();
    EXPECT_THAT(MessageOf(end), HasSubstr("rank 0 device 0: ")) << function;
    EXPECT_EQ(end.code(), absl::StatusCode::kInternal) << function << ": " << end;
    EXPECT_EQ(libraries_.live_objects(), 0) << function;
  }
}

TEST_F(NcclReducerFaultTest, AnAsynchronousErrorWhileConnectingEndsCreation) {
  libraries_.SetAsyncError(0, ncclSystemError);
  const absl::Status end = NcclWorld(*gpu_, 2).Make(Rank(0), *NewNcclId(*gpu_)).status();
  EXPECT_EQ(end.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(MessageOf(end), HasSubstr("ncclCommInitRankConfig of 2 ranks: unhandled system "
                                        "error (NCCL error 2): scripted: asynchronous error"));
}

TEST_F(NcclReducerFaultTest, OptionsThatContradictEachOtherAreRefused) {
  const auto refusal = [&](const Reducer::Options& options, const NcclPlace& place) {
    return CreateNcclReducer(options, NcclWorld(*gpu_, 2).Layout(), place, *NewNcclId(*gpu_), *gpu_)
        .status();
  };
  Reducer::Options options;
  options.world_size = 3;
  EXPECT_EQ(refusal(options, {}),
            absl::InvalidArgumentError("NCCL reducer: world size 3, but the layout is for 2"));
  options.world_size = 2;
  EXPECT_EQ(refusal(options, {Rank(2), 0}),
            absl::InvalidArgumentError("NCCL reducer: rank 2, expected 0 to 1"));
  EXPECT_THAT(MessageOf(refusal(options, {Rank(0), 8})),
              HasSubstr("rank 0 device 8: cudaSetDevice: invalid device ordinal"));
  options.timeout = absl::ZeroDuration();
  EXPECT_THAT(MessageOf(refusal(options, {})), HasSubstr("timeout 0, expected more than 0"));
  options.timeout = absl::Seconds(1);
  options.window_steps = 50;
  EXPECT_EQ(refusal(options, {}).code(), absl::StatusCode::kUnimplemented);
}

TEST_F(NcclReducerFaultTest, AnIdOfAnotherLengthIsRefused) {
  EXPECT_EQ(NcclWorld(*gpu_, 2).Make(Rank(0), "short").status(),
            absl::InvalidArgumentError("rank 0 device 0: NCCL id of 5 bytes, expected 128"));
}

}  // namespace
}  // namespace sluice
