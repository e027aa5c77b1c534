#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "comm/reducer/reducer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/comm/reducer/world.h"

namespace sluice {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

World MakeWorld(int world_size, bool skip) {
  World world;
  world.tensors = MixedTensors();
  world.bucket_bytes = 8192;
  world.options.world_size = world_size;
  world.options.skip_not_finite = skip;
  return world;
}

struct Poison {
  int rank = 0;
  int tensor = 0;  // NotFinite::kLoss: the loss
  float value = kNaN;
};

absl::StatusOr<ReductionStats> RunPoisonedStep(Reducer& reducer, Step step, Rank rank,
                                               const std::vector<Poison>& poisons) {
  reducer.BeginStep(step);
  for (const Poison& poison : poisons) {
    if (poison.rank != rank.value || poison.tensor != NotFinite::kLoss) continue;
    reducer.LossNotFinite();
    return reducer.Finish();
  }
  const int tensors = static_cast<int>(reducer.layout().tensors().size());
  for (int t = 0; t < tensors; ++t) {
    const absl::Span<float> gradient = reducer.gradient(t);
    for (size_t i = 0; i < gradient.size(); ++i) {
      gradient[i] = TestGradient(step, t, rank, static_cast<int64_t>(i));
    }
    for (const Poison& poison : poisons) {
      if (poison.rank == rank.value && poison.tensor == t) gradient.back() = poison.value;
    }
    reducer.Ready(t);
  }
  return reducer.Finish();
}

// What every rank is told about one step with these poisons.
std::vector<NotFinite> Told(const World& world, const std::vector<Poison>& poisons) {
  std::vector<NotFinite> told(static_cast<size_t>(world.options.world_size));
  world.Run([&](Rank rank, Reducer& reducer) {
    ASSERT_TRUE(RunPoisonedStep(reducer, Step(0), rank, {})->not_finite == std::nullopt);
    const auto stats = RunPoisonedStep(reducer, Step(1), rank, poisons);
    ASSERT_TRUE(stats.ok()) << stats.status();
    ASSERT_TRUE(stats->not_finite.has_value());
    told[static_cast<size_t>(rank.value)] = *stats->not_finite;
  });
  return told;
}

TEST(ReducerNotFinite, EveryRankIsToldTheSame) {
  for (int ranks : {1, 2, 3, 4}) {
    for (float value : {kNaN, kInfinity, -kInfinity}) {
      const int culprit = ranks - 1;
      for (const NotFinite& found : Told(MakeWorld(ranks, false), {{culprit, 3, value}})) {
        EXPECT_EQ(found.tensor, 3);
        EXPECT_THAT(found.ranks, ElementsAre(Rank(culprit)));
      }
    }
  }
}

TEST(ReducerNotFinite, OfSeveralTheFirstInBackwardOrderIsNamedWithAllItsRanks) {
  for (const NotFinite& found : Told(MakeWorld(4, false), {{3, 2}, {0, 5}, {1, 2}, {2, 7}})) {
    EXPECT_EQ(found.tensor, 2);
    EXPECT_THAT(found.ranks, ElementsAre(Rank(1), Rank(3)));
  }
}

TEST(ReducerNotFinite, ALossComesBeforeEveryGradient) {
  for (int ranks : {1, 2, 4}) {
    for (const NotFinite& found :
         Told(MakeWorld(ranks, true), {{0, NotFinite::kLoss}, {ranks - 1, NotFinite::kLoss}})) {
      EXPECT_EQ(found.tensor, NotFinite::kLoss);
      EXPECT_EQ(found.ranks.size(), ranks == 1 ? 1u : 2u);
    }
  }
}

TEST(ReducerNotFinite, TheLargestFiniteFloatIsFinite) {
  World world = MakeWorld(1, false);
  world.Run([&](Rank rank, Reducer& reducer) {
    for (float value : {std::numeric_limits<float>::max(), std::numeric_limits<float>::lowest(),
                        std::numeric_limits<float>::denorm_min(), -0.0f}) {
      EXPECT_EQ(RunPoisonedStep(reducer, Step(0), rank, {{0, 1, value}})->not_finite, std::nullopt);
    }
  });
}

// Each rank's own is finite, and so is the true mean, but not what fp16 makes of it.
TEST(ReducerNotFinite, AnOverflowOnTheWayIsNoRanksFault) {
  World world = MakeWorld(2, true);
  world.Run([&](Rank rank, Reducer& reducer) {
    ASSERT_TRUE(
        reducer.OfferPlan(UniformPlan(reducer.layout(), 1, Step(1), {CodecKind::kFp16})).ok());
    ASSERT_TRUE(RunStep(reducer, Step(0), rank).ok());
    const auto stats = RunPoisonedStep(reducer, Step(1), rank, {{1, 3, 1e9f}});
    ASSERT_TRUE(stats.ok()) << stats.status();
    ASSERT_TRUE(stats->not_finite.has_value());
    EXPECT_EQ(stats->not_finite->tensor, 3);
    EXPECT_THAT(stats->not_finite->ranks, IsEmpty());
    for (float residual : reducer.residual(3)) EXPECT_TRUE(std::isfinite(residual));
  });
}

using Case = std::tuple<int, CodecConfig>;
class SkippedStepTest : public testing::TestWithParam<Case> {};

struct Trace {
  std::map<int64_t, std::vector<std::vector<float>>> means;  // by step, rank
  std::vector<std::vector<float>> residuals;                 // by rank: all tensors
};

Trace RunSteps(int ranks, const CodecConfig& codec, const std::vector<int64_t>& steps,
               const std::map<int64_t, std::vector<Poison>>& poisons) {
  World world = MakeWorld(ranks, true);
  world.options.seed = 5;
  Trace trace;
  trace.residuals.resize(static_cast<size_t>(ranks));
  for (int64_t s : steps) trace.means[s].resize(static_cast<size_t>(ranks));
  world.Run([&](Rank rank, Reducer& reducer) {
    const auto r = static_cast<size_t>(rank.value);
    ASSERT_TRUE(reducer.OfferPlan(UniformPlan(reducer.layout(), 1, Step(0), codec)).ok());
    for (int64_t s : steps) {
      const auto poisoned = poisons.find(s);
      const auto stats =
          RunPoisonedStep(reducer, Step(s), rank,
                          poisoned == poisons.end() ? std::vector<Poison>() : poisoned->second);
      ASSERT_TRUE(stats.ok()) << stats.status();
      ASSERT_EQ(stats->not_finite.has_value(), poisoned != poisons.end()) << "step " << s;
      trace.means[s][r] = AllGradients(reducer);
    }
    for (size_t t = 0; t < reducer.layout().tensors().size(); ++t) {
      const std::vector<float> residual = reducer.residual(static_cast<int>(t));
      trace.residuals[r].insert(trace.residuals[r].end(), residual.begin(), residual.end());
    }
  });
  return trace;
}

TEST_P(SkippedStepTest, LeavesEverythingAsIfItHadNotBeen) {
  const auto& [ranks, codec] = GetParam();
  const Trace skipped =
      RunSteps(ranks, codec, {0, 1, 2, 3, 4, 5, 6},
               {{3, {{ranks - 1, 3}, {0, 6, kInfinity}}}, {5, {{ranks / 2, NotFinite::kLoss}}}});
  const Trace without = RunSteps(ranks, codec, {0, 1, 2, 4, 6}, {});
  for (int64_t s : {2, 4, 6}) {
    EXPECT_EQ(skipped.means.at(s), without.means.at(s)) << "step " << s;
    EXPECT_THAT(skipped.means.at(s), Each(skipped.means.at(s)[0])) << "step " << s;
  }
  EXPECT_EQ(skipped.residuals, without.residuals);
}

INSTANTIATE_TEST_SUITE_P(All, SkippedStepTest,
                         testing::Combine(testing::Values(1, 2, 3, 4),
                                          testing::ValuesIn(ManyCodecs())),
                         [](const auto& info) {
                           return "Ranks" + std::to_string(std::get<0>(info.param)) + "Codec" +
                                  std::to_string(info.index % ManyCodecs().size());
                         });

}  // namespace
}  // namespace sluice
