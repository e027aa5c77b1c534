#include <algorithm>
#include <string>
#include <thread>

#include "comm/reducer/reducer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/comm/reducer/world.h"

namespace sluice {
namespace {

using testing::Each;
using testing::HasSubstr;

constexpr CodecConfig kRaw = {};
constexpr CodecConfig kFp16 = {CodecKind::kFp16};
constexpr CodecConfig kMaxMin4 = {CodecKind::kMaxMin, 4, 512};

World MakeWorld(int world_size) {
  World world;
  world.tensors = MixedTensors();
  world.bucket_bytes = 8192;
  world.options.world_size = world_size;
  return world;
}

TEST(ReducerPlan, TakesEffectInTheStepAfterTheLastRankGotIt) {
  const World world = MakeWorld(3);
  world.Run([&](Rank rank, Reducer& reducer) {
    for (int64_t s = 0; s < 12; ++s) {
      // Ranks 0, 1 and 2 get it before steps 2, 5 and 8; the last announces it in step 8.
      if (s == 2 + 3 * rank.value) {
        ASSERT_TRUE(reducer.OfferPlan(UniformPlan(reducer.layout(), 1, Step(4), kFp16)).ok());
      }
      const auto stats = RunStep(reducer, Step(s), rank);
      ASSERT_TRUE(stats.ok()) << stats.status();
      EXPECT_EQ(stats->plan_version, s < 9 ? 0u : 1u) << "step " << s;
    }
  });
}

TEST(ReducerPlan, AHeldPlanWaitsForItsEffectiveStep) {
  const World world = MakeWorld(2);
  world.Run([&](Rank rank, Reducer& reducer) {
    ASSERT_TRUE(reducer.OfferPlan(UniformPlan(reducer.layout(), 1, Step(5), kFp16)).ok());
    for (int64_t s = 0; s < 8; ++s) {
      const auto stats = RunStep(reducer, Step(s), rank);
      ASSERT_TRUE(stats.ok()) << stats.status();
      EXPECT_EQ(stats->plan_version, s < 5 ? 0u : 1u) << "step " << s;
    }
  });
}

TEST(ReducerPlan, OfferedDuringAStepIsAnnouncedInTheNext) {
  const World world = MakeWorld(2);
  world.Run([&](Rank rank, Reducer& reducer) {
    for (int64_t s = 0; s < 4; ++s) {
      reducer.BeginStep(Step(s));
      if (s == 0) {
        ASSERT_TRUE(reducer.OfferPlan(UniformPlan(reducer.layout(), 1, Step(0), kFp16)).ok());
      }
      const auto stats = reducer.Finish();
      ASSERT_TRUE(stats.ok()) << stats.status();
      EXPECT_EQ(stats->plan_version, s < 2 ? 0u : 1u) << "step " << s;
    }
  });
}

TEST(ReducerPlan, RanksSwitchTogetherWhilePlansArriveAtAnyMoment) {
  const World world = MakeWorld(4);
  constexpr int64_t kSteps = 60;
  std::vector<std::vector<uint32_t>> versions(4);
  std::vector<std::vector<std::vector<float>>> results(4);
  world.Run([&](Rank rank, Reducer& reducer) {
    std::thread control_plane([&] {  // as an actor would: whenever a message comes in
      for (uint32_t version = 1; version <= 20; ++version) {
        const CodecConfig codec = ManyCodecs()[version % ManyCodecs().size()];
        EXPECT_TRUE(
            reducer.OfferPlan(UniformPlan(reducer.layout(), version, Step(2 * version), codec))
                .ok());
        std::this_thread::yield();
      }
    });
    for (int64_t s = 0; s < kSteps; ++s) {
      const auto stats = RunStep(reducer, Step(s), rank);
      EXPECT_TRUE(stats.ok()) << stats.status();
      if (!stats.ok()) break;
      versions[rank.value].push_back(stats->plan_version);
      results[rank.value].push_back(AllGradients(reducer));
    }
    control_plane.join();
  });
  EXPECT_THAT(versions, Each(versions[0]));
  EXPECT_THAT(results, Each(results[0]));
  ASSERT_EQ(versions[0].size(), static_cast<size_t>(kSteps));
  EXPECT_TRUE(std::is_sorted(versions[0].begin(), versions[0].end()));
  for (int64_t s = 0; s < kSteps; ++s) EXPECT_LE(2 * versions[0][s], s) << "before its step";
}

TEST(ReducerPlan, SumOfResultsPlusResidualsIsTheSumOfInputs) {
  constexpr int64_t kSteps = 1000;
  constexpr int kRanks = 3;
  const std::vector<CodecConfig> codecs = ManyCodecs();
  const World world = MakeWorld(kRanks);
  const BucketLayout layout = world.Layout();
  std::vector<std::vector<double>> balance;  // inputs - results - residuals, by tensor
  for (const TensorInfo& tensor : layout.tensors()) balance.emplace_back(tensor.elements, 0.0);
  std::vector<std::vector<std::vector<float>>> residuals(kRanks);
  uint32_t last_version = 0;

  world.Run([&](Rank rank, Reducer& reducer) {
    for (int64_t s = 0; s < kSteps; ++s) {
      if (s % 10 == rank.value) {  // a mixed plan every 10 steps, at another time on each rank
        const auto version = static_cast<uint32_t>(s / 10 + 1);
        CodecPlan plan = UniformPlan(layout, version, Step(s), kRaw);
        for (size_t t = 0; t < plan.codecs.size(); ++t) {
          plan.codecs[t] = codecs[(version + t) % codecs.size()];
        }
        ASSERT_TRUE(reducer.OfferPlan(plan).ok());
      }
      const auto stats = RunStep(reducer, Step(s), rank);
      ASSERT_TRUE(stats.ok()) << stats.status();
      if (rank != Rank(0)) continue;
      last_version = stats->plan_version;
      for (size_t t = 0; t < balance.size(); ++t) {
        const absl::Span<float> result = reducer.gradient(static_cast<int>(t));
        for (size_t i = 0; i < result.size(); ++i) balance[t][i] -= result[i];
      }
    }
    for (size_t t = 0; t < balance.size(); ++t) {
      residuals[rank.value].push_back(reducer.residual(static_cast<int>(t)));
    }
  });

  EXPECT_EQ(last_version, kSteps / 10);
  double largest_residual = 0;
  for (size_t t = 0; t < balance.size(); ++t) {
    for (size_t i = 0; i < balance[t].size(); ++i) {
      for (int r = 0; r < kRanks; ++r) {
        for (int64_t s = 0; s < kSteps; ++s) {
          balance[t][i] +=
              TestGradient(Step(s), static_cast<int>(t), Rank(r), static_cast<int64_t>(i)) /
              static_cast<double>(kRanks);
        }
        balance[t][i] -= residuals[r][t][i];
        largest_residual = std::max(largest_residual, std::abs(double{residuals[r][t][i]}));
      }
      // 1000 steps of about five fp32 roundings of values of up to some tens, after a drop.
      EXPECT_NEAR(balance[t][i], 0, 1e-3) << "tensor " << t << " element " << i;
    }
  }
  EXPECT_GT(largest_residual, 1e-3) << "the codecs lost nothing: the test shows nothing";
}

TEST(ReducerPlan, ATensorMadeRawSendsWhatItOwes) {
  const World world = MakeWorld(2);
  const BucketLayout layout = world.Layout();
  std::vector<std::vector<float>> owed(2);
  std::vector<float> result;
  world.Run([&](Rank rank, Reducer& reducer) {
    ASSERT_TRUE(reducer.OfferPlan(UniformPlan(layout, 1, Step(1), kMaxMin4)).ok());
    for (int64_t s = 0; s < 3; ++s) ASSERT_TRUE(RunStep(reducer, Step(s), rank).ok());
    owed[rank.value] = reducer.residual(3);
    EXPECT_THAT(owed[rank.value], testing::Contains(testing::Ne(0.0f)));
    ASSERT_TRUE(reducer.OfferPlan(UniformPlan(layout, 2, Step(4), kRaw)).ok());
    ASSERT_TRUE(RunStep(reducer, Step(3), rank).ok());
    owed[rank.value] = reducer.residual(3);
    reducer.BeginStep(Step(4));  // zeros: the result is what was owed
    const auto stats = reducer.Finish();
    ASSERT_TRUE(stats.ok()) << stats.status();
    EXPECT_EQ(stats->plan_version, 2u);
    EXPECT_THAT(reducer.residual(3), Each(0.0f));
    if (rank == Rank(0)) result.assign(reducer.gradient(3).begin(), reducer.gradient(3).end());
  });
  for (size_t i = 0; i < result.size(); ++i) EXPECT_EQ(result[i], owed[0][i] + owed[1][i]);
}

TEST(ReducerPlan, WithoutErrorFeedbackNothingIsKept) {
  World world = MakeWorld(2);
  world.options.error_feedback = false;
  std::vector<std::vector<float>> results(2);
  world.Run([&](Rank rank, Reducer& reducer) {
    ASSERT_TRUE(reducer.OfferPlan(UniformPlan(reducer.layout(), 1, Step(0), kMaxMin4)).ok());
    for (int64_t s = 0; s < 3; ++s) ASSERT_TRUE(RunStep(reducer, Step(s), rank).ok());
    for (int t = 0; t < 8; ++t) EXPECT_THAT(reducer.residual(t), Each(0.0f));
    results[rank.value] = AllGradients(reducer);
    reducer.BeginStep(Step(3));
    ASSERT_TRUE(reducer.Finish().ok());
    EXPECT_THAT(AllGradients(reducer), Each(0.0f)) << "zeros have no error and nothing is owed";
  });
  EXPECT_EQ(results[0], results[1]);
}

TEST(ReducerPlan, ARankThatMissedAVersionEndsWithAnError) {
  const World world = MakeWorld(2);
  std::vector<absl::Status> ends(2);
  world.Run([&](Rank rank, Reducer& reducer) {
    const uint32_t version = rank == Rank(0) ? 2 : 1;
    ASSERT_TRUE(reducer.OfferPlan(UniformPlan(reducer.layout(), version, Step(0), kFp16)).ok());
    for (int64_t s = 0; s < 3 && ends[rank.value].ok(); ++s) {
      ends[rank.value] = RunStep(reducer, Step(s), rank).status();
    }
  });
  EXPECT_EQ(ends[0].code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(ends[0].message()), HasSubstr("step 0 bucket 0"));
  EXPECT_THAT(std::string(ends[0].message()), HasSubstr("never offered"));
  EXPECT_EQ(ends[1].code(), absl::StatusCode::kUnavailable);
}

TEST(ReducerPlan, DifferentPlansUnderOneVersionAreAnErrorOnAllRanks) {
  const World world = MakeWorld(3);
  std::vector<absl::Status> ends(3);
  world.Run([&](Rank rank, Reducer& reducer) {
    const CodecConfig codec = rank == Rank(0) ? kFp16 : kMaxMin4;
    ASSERT_TRUE(reducer.OfferPlan(UniformPlan(reducer.layout(), 1, Step(0), codec)).ok());
    for (int64_t s = 0; s < 3 && ends[rank.value].ok(); ++s) {
      ends[rank.value] = RunStep(reducer, Step(s), rank).status();
    }
  });
  for (const absl::Status& end : ends) {
    EXPECT_FALSE(end.ok());
    EXPECT_THAT(std::string(end.message()), HasSubstr("step 1 bucket 0"));
  }
}

TEST(ReducerPlan, BadPlansAreRefusedAndChangeNothing) {
  MakeWorld(1).Run([&](Rank rank, Reducer& reducer) {
    CodecPlan plan = UniformPlan(reducer.layout(), 1, Step(0), {CodecKind::kMaxMin, 0, 512});
    EXPECT_EQ(reducer.OfferPlan(plan).code(), absl::StatusCode::kInvalidArgument);
    for (int64_t s = 0; s < 2; ++s) EXPECT_EQ(RunStep(reducer, Step(s), rank)->plan_version, 0u);
  });
}

}  // namespace
}  // namespace sluice
