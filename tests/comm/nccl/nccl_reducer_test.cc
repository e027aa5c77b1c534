#include "comm/nccl/nccl_reducer.h"

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "comm/nccl/fake_libraries.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/comm/nccl/nccl_world.h"

namespace sluice {
namespace {

using testing::Each;
using testing::HasSubstr;

class NcclReducerTest : public testing::Test {
 protected:
  FakeLibraries libraries_;
  GpuLibraryPtr gpu_ = ProbeGpu(libraries_).library;
};

TEST_F(NcclReducerTest, EveryRankGetsTheMeanInEveryStep) {
  for (int world_size : {1, 2, 4}) {
    std::atomic<int> steps{0};
    NcclWorld(*gpu_, world_size).Run([&](Rank rank, Reducer& reducer) {
      for (int64_t s = 0; s < 5; ++s) {
        const auto stats = RunNcclStep(reducer, Step(s), rank);
        ASSERT_TRUE(stats.ok()) << stats.status();
        EXPECT_EQ(WrongMeans(reducer, Step(s)), 0) << rank << " of " << world_size;
        ++steps;
      }
    });
    EXPECT_EQ(steps, 5 * world_size);
    EXPECT_EQ(libraries_.live_objects(), 0);
  }
}

TEST_F(NcclReducerTest, BucketsThatFillInAnotherOrderOnEachRankMeetAllTheSame) {
  NcclWorld(*gpu_, 4).Run([&](Rank rank, Reducer& reducer) {
    for (int64_t s = 0; s < 3; ++s) {
      reducer.BeginStep(Step(s));
      for (int i = 0; i < 4; ++i) {
        const int t = static_cast<int>((i + rank.value) % 4);
        const absl::Span<float> gradient = reducer.gradient(t);
        for (size_t e = 0; e < gradient.size(); ++e) {
          gradient[e] = NcclGradient(Step(s), t, rank, e);
        }
        reducer.Ready(t);
      }
      ASSERT_TRUE(reducer.Finish().ok());
      EXPECT_EQ(WrongMeans(reducer, Step(s)), 0);
    }
  });
}

TEST_F(NcclReducerTest, GradientsAreAlignedStayInPlaceAndStartAtZero) {
  NcclWorld(*gpu_, 2).Run([&](Rank rank, Reducer& reducer) {
    const BucketLayout& layout = reducer.layout();
    std::vector<float*> places;
    for (int t = 0; t < 4; ++t) {
      places.push_back(reducer.gradient(t).data());
      EXPECT_EQ(static_cast<int64_t>(reducer.gradient(t).size()), layout.tensors()[t].elements);
      if (layout.places()[t].offset == 0) {
        EXPECT_EQ(reinterpret_cast<uintptr_t>(places[t]) % 64, 0u);
      }
    }
    ASSERT_TRUE(RunNcclStep(reducer, Step(0), rank).ok());
    reducer.BeginStep(Step(1));
    for (int t = 0; t < 4; ++t) {
      EXPECT_EQ(reducer.gradient(t).data(), places[t]);
      EXPECT_THAT(reducer.gradient(t), Each(0.0f));
    }
    ASSERT_TRUE(reducer.Finish().ok());
  });
}

TEST_F(NcclReducerTest, TensorsThatAreNeverReadyAreTakenAsTheyAre) {
  NcclWorld(*gpu_, 2).Run([&](Rank rank, Reducer& reducer) {
    reducer.BeginStep(Step(0));
    if (rank == Rank(1)) {
      for (float& value : reducer.gradient(1)) value = 3;
      reducer.Ready(1);
    }
    ASSERT_TRUE(reducer.Finish().ok());
    EXPECT_THAT(reducer.gradient(0), Each(0.0f));
    EXPECT_THAT(reducer.gradient(1), Each(1.5f));
  });
}

TEST_F(NcclReducerTest, AllReduceMeanTakesAnySizeOfHostMemory) {
  // The largest bucket, which it borrows on the device, holds 1000.
  for (size_t size : {0, 1, 999, 1000, 1001, 3500}) {
    NcclWorld(*gpu_, 4).Run([&](Rank rank, Reducer& reducer) {
      ASSERT_TRUE(RunNcclStep(reducer, Step(0), rank).ok());
      std::vector<float> data(size);
      for (size_t i = 0; i < size; ++i) data[i] = static_cast<float>(i + 4 * rank.value);
      ASSERT_TRUE(reducer.AllReduceMean(absl::MakeSpan(data)).ok());
      for (size_t i = 0; i < size; ++i) ASSERT_EQ(data[i], static_cast<float>(i + 6)) << i;
      EXPECT_EQ(WrongMeans(reducer, Step(0)), 0) << "the gradients must survive";
      ASSERT_TRUE(RunNcclStep(reducer, Step(1), rank).ok());
      EXPECT_EQ(WrongMeans(reducer, Step(1)), 0);
    });
  }
}

TEST_F(NcclReducerTest, SentBytesAreWhatARingSends) {
  NcclWorld(*gpu_, 4).Run([&](Rank rank, Reducer& reducer) {
    const auto stats = RunNcclStep(reducer, Step(0), rank);
    ASSERT_TRUE(stats.ok()) << stats.status();
    EXPECT_EQ(stats->sent_bytes, 2 * (10 + 1000 + 7 + 200) * 4 * 3 / 4);
    EXPECT_EQ(stats->encode, absl::ZeroDuration());
  });
}

TEST_F(NcclReducerTest, EveryBucketIsReadyThenStartedThenReduced) {
  NcclWorld(*gpu_, 2).Run([&](Rank rank, Reducer& reducer) {
    for (int64_t s = 0; s < 2; ++s) {
      const auto stats = RunNcclStep(reducer, Step(s), rank);
      ASSERT_TRUE(stats.ok()) << stats.status();
      ASSERT_EQ(reducer.bucket_times().size(), 3u);
      for (const BucketTimes& times : reducer.bucket_times()) {
        EXPECT_GT(times.ready, absl::ZeroDuration());
        EXPECT_GE(times.started, times.ready);
        EXPECT_GE(times.received, times.started);
        EXPECT_EQ(times.reduced, times.received);
        EXPECT_EQ(times.encode + times.decode, absl::ZeroDuration());
        EXPECT_GE(times.exposed, absl::ZeroDuration());
        EXPECT_LE(times.exposed, times.reduced - times.started);
      }
    }
    EXPECT_FALSE(reducer.link(Rank(1 - rank.value)).has_value());
  });
}

TEST_F(NcclReducerTest, AWorldOfOneNeedsNoClique) {
  libraries_.FailNthCall(0, "ncclCommInitRankConfig", 1, ncclInternalError);
  libraries_.FailNthCall(0, "cudaMemcpyAsync", 1, cudaErrorUnknown);
  auto reducer = NcclWorld(*gpu_, 1).Make(Rank(0), /*id=*/"");
  ASSERT_TRUE(reducer.ok()) << reducer.status();
  const auto stats = RunNcclStep(**reducer, Step(0), Rank(0));
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_EQ(stats->sent_bytes, 0);
  EXPECT_EQ(WrongMeans(**reducer, Step(0)), 0);
}

TEST_F(NcclReducerTest, ARawPlanIsReportedFromItsStepOn) {
  NcclWorld(*gpu_, 2).Run([&](Rank rank, Reducer& reducer) {
    ASSERT_TRUE(reducer.OfferPlan({7, Step(2), std::vector<CodecConfig>(4)}).ok());
    const uint32_t expected[] = {0, 0, 7, 7};
    for (int64_t s = 0; s < 4; ++s) {
      const auto stats = RunNcclStep(reducer, Step(s), rank);
      ASSERT_TRUE(stats.ok()) << stats.status();
      EXPECT_EQ(stats->plan_version, expected[s]) << Step(s);
    }
  });
}

TEST_F(NcclReducerTest, ThePlanWithTheHighestVersionWinsAndOldOnesAreIgnored) {
  auto reducer = NcclWorld(*gpu_, 1).Make(Rank(0), "");
  ASSERT_TRUE(reducer.ok()) << reducer.status();
  const std::vector<CodecConfig> raw(4);
  ASSERT_TRUE((*reducer)->OfferPlan({3, Step(1), raw}).ok());
  ASSERT_TRUE((*reducer)->OfferPlan({5, Step(1), raw}).ok());
  ASSERT_TRUE((*reducer)->OfferPlan({4, Step(0), raw}).ok());
  EXPECT_EQ(RunNcclStep(**reducer, Step(0), Rank(0))->plan_version, 0u);
  EXPECT_EQ(RunNcclStep(**reducer, Step(1), Rank(0))->plan_version, 5u);
  EXPECT_EQ(RunNcclStep(**reducer, Step(2), Rank(0))->plan_version, 5u);
}

TEST_F(NcclReducerTest, APlanWithAnotherCodecIsRefusedByTheNameOfTheTensor) {
  auto reducer = NcclWorld(*gpu_, 1).Make(Rank(0), "");
  ASSERT_TRUE(reducer.ok()) << reducer.status();
  CodecPlan plan{1, Step(0), std::vector<CodecConfig>(4)};
  plan.codecs[1].kind = CodecKind::kFp16;
  const absl::Status refused = (*reducer)->OfferPlan(plan);
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("plan 1, tensor head.weight: no codec fp16 on GPUs, only raw"));
  EXPECT_EQ(RunNcclStep(**reducer, Step(0), Rank(0))->plan_version, 0u) << "it must not count";
}

TEST_F(NcclReducerTest, APlanThatDoesNotFitIsInvalid) {
  auto reducer = NcclWorld(*gpu_, 1).Make(Rank(0), "");
  ASSERT_TRUE(reducer.ok()) << reducer.status();
  EXPECT_EQ((*reducer)->OfferPlan({1, Step(0), std::vector<CodecConfig>(3)}),
            absl::InvalidArgumentError("plan 1: 3 codecs for 4 tensors"));
  CodecPlan plan{1, Step(0), std::vector<CodecConfig>(4)};
  plan.codecs[2].kind = CodecKind::kMaxMin;
  plan.codecs[2].bits = 9;
  const absl::Status refused = (*reducer)->OfferPlan(plan);
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("plan 1, tensor conv.bias"));
}

TEST_F(NcclReducerTest, ResidualsAreZeros) {
  NcclWorld(*gpu_, 2).Run([&](Rank rank, Reducer& reducer) {
    ASSERT_TRUE(RunNcclStep(reducer, Step(0), rank).ok());
    EXPECT_EQ(reducer.residual(3), std::vector<float>(200));
  });
}

}  // namespace
}  // namespace sluice
