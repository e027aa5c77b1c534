#include "models/data/batch_sampler.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using testing::ElementsAreArray;

std::vector<int64_t> Batch(BatchSampler& sampler, int64_t step) {
  const auto batch = sampler.GlobalBatch(Step(step));
  return {batch.begin(), batch.end()};
}

// (samples, global batch)
class BatchSamplerTest : public testing::TestWithParam<std::tuple<int64_t, int64_t>> {
 protected:
  const int64_t samples_ = std::get<0>(GetParam());
  const int64_t global_batch_ = std::get<1>(GetParam());
  BatchSampler sampler_ = *BatchSampler::Create(7, samples_, global_batch_);
};

INSTANTIATE_TEST_SUITE_P(Shapes, BatchSamplerTest,
                         testing::Values(std::make_tuple(1, 1), std::make_tuple(10, 10),
                                         std::make_tuple(10, 3), std::make_tuple(1000, 32),
                                         std::make_tuple(997, 128), std::make_tuple(60000, 128)));

TEST_P(BatchSamplerTest, EveryEpochVisitsEverySampleOnce) {
  constexpr int64_t kEpochs = 3;
  std::vector<int64_t> order;  // of positions
  for (int64_t s = 0; s < sampler_.StepsOf(kEpochs); ++s) {
    const std::vector<int64_t> batch = Batch(sampler_, s);
    EXPECT_EQ(static_cast<int64_t>(batch.size()), global_batch_);
    order.insert(order.end(), batch.begin(), batch.end());
  }
  ASSERT_GE(static_cast<int64_t>(order.size()), kEpochs * samples_);
  EXPECT_LT(static_cast<int64_t>(order.size()), kEpochs * samples_ + global_batch_);
  for (int64_t epoch = 0; epoch < kEpochs; ++epoch) {
    const auto begin = order.begin() + epoch * samples_;
    const std::set<int64_t> seen(begin, begin + samples_);
    EXPECT_EQ(static_cast<int64_t>(seen.size()), samples_) << "epoch " << epoch;
    EXPECT_EQ(*seen.begin(), 0);
    EXPECT_EQ(*seen.rbegin(), samples_ - 1);
  }
}

TEST_P(BatchSamplerTest, UnionOverRanksIsTheGlobalBatchForEveryWorldSize) {
  const std::vector<int64_t> batch = Batch(sampler_, 1);
  for (int world : {1, 2, 3, 4, 7, 8}) {
    if (world > global_batch_) continue;
    std::vector<int64_t> joined;
    for (int r = 0; r < world; ++r) {
      // Each rank has a sampler of its own.
      BatchSampler own = *BatchSampler::Create(7, samples_, global_batch_);
      const BatchSlice slice = SliceOfRank(global_batch_, Rank(r), world);
      EXPECT_GE(slice.size(), global_batch_ / world);
      EXPECT_LE(slice.size(), global_batch_ / world + 1);
      const auto part = own.GlobalBatch(Step(1)).subspan(slice.begin, slice.size());
      joined.insert(joined.end(), part.begin(), part.end());
    }
    EXPECT_THAT(joined, ElementsAreArray(batch)) << "world of " << world;
  }
}

TEST_P(BatchSamplerTest, ABatchDoesNotDependOnTheStepsBefore) {
  const int64_t step = sampler_.StepsOf(1.5);
  const std::vector<int64_t> fresh = Batch(sampler_, step);
  for (int64_t s = 0; s < sampler_.StepsOf(3); s += 1 + step / 5) Batch(sampler_, s);
  EXPECT_THAT(Batch(sampler_, step), ElementsAreArray(fresh));
}

// A run as an elastic cluster has it: worlds change in the middle of epochs, ranks come without any history, and
// a step that failed is done again by the next world.
TEST_P(BatchSamplerTest, NoSampleIsMissedOrSeenTwiceWhenTheWorldChanges) {
  constexpr int64_t kEpochs = 3;
  for (uint64_t run = 0; run < 5; ++run) {
    const RandomKey key = RandomKey(run).With("worlds");
    std::vector<BatchSampler> ranks;
    std::vector<int64_t> order;  // as trained on, over all ranks
    const int64_t steps = sampler_.StepsOf(kEpochs);
    for (int64_t attempt = 0, s = 0; s < steps; ++attempt) {
      if (key.With("change").Below(attempt, 1 + steps / 7) == 0) {
        const int64_t most = std::min<int64_t>(global_batch_, 9);
        const size_t world = 1 + key.With("world").Below(attempt, most);
        ranks.resize(std::min<size_t>(ranks.size(), world / 2), sampler_);
        while (ranks.size() < world) {
          ranks.push_back(*BatchSampler::Create(7, samples_, global_batch_));
        }
      }
      if (ranks.empty()) continue;
      const int world = static_cast<int>(ranks.size());
      std::vector<int64_t> batch;
      for (int r = 0; r < world; ++r) {
        const BatchSlice slice = SliceOfRank(global_batch_, Rank(r), world);
        const auto part = ranks[r].GlobalBatch(Step(s)).subspan(slice.begin, slice.size());
        batch.insert(batch.end(), part.begin(), part.end());
      }
      if (key.With("fails").Below(attempt, 10) == 0) continue;
      order.insert(order.end(), batch.begin(), batch.end());
      ++s;
    }
    for (int64_t epoch = 0; epoch < kEpochs; ++epoch) {
      const auto begin = order.begin() + epoch * samples_;
      EXPECT_EQ(static_cast<int64_t>(std::set<int64_t>(begin, begin + samples_).size()), samples_)
          << "run " << run << ", epoch " << epoch;
    }
  }
}

TEST_P(BatchSamplerTest, AnySequenceOfStepsGivesEachStepItsOwnBatch) {
  const int64_t steps = sampler_.StepsOf(3);
  std::map<int64_t, std::vector<int64_t>> first;
  for (int64_t i = 0; i < 60; ++i) {
    const int64_t step = static_cast<int64_t>(RandomKey(9).Below(i, std::min<int64_t>(steps, 20)));
    const std::vector<int64_t> batch = Batch(sampler_, step);
    const auto [at, is_new] = first.emplace(step, batch);
    EXPECT_EQ(at->second, batch) << "step " << step;
    if (is_new) {
      BatchSampler resumed = *BatchSampler::Create(7, samples_, global_batch_);
      EXPECT_EQ(Batch(resumed, step), batch);
    }
  }
}

TEST(BatchSampler, EpochsAndSeedsHaveTheirOwnOrder) {
  const auto order = EpochPermutation(1, 0, 1000);
  EXPECT_NE(EpochPermutation(1, 1, 1000), order);
  EXPECT_NE(EpochPermutation(2, 0, 1000), order);
  EXPECT_EQ(EpochPermutation(1, 0, 1000), order);
}

TEST(BatchSampler, EveryPlaceIsEquallyLikely) {
  constexpr int kSamples = 5, kEpochs = 20000;
  int count[kSamples][kSamples] = {};
  for (int epoch = 0; epoch < kEpochs; ++epoch) {
    const auto order = EpochPermutation(3, epoch, kSamples);
    for (int place = 0; place < kSamples; ++place) ++count[order[place]][place];
  }
  // Standard deviation of a count is 57; the seed is fixed, so this holds always or never.
  for (const auto& row : count) {
    for (int n : row) EXPECT_NEAR(n, kEpochs / kSamples, 5 * 57);
  }
}

TEST(BatchSampler, PartsOfAnEpochAreRoundedUpAndAreNeverNothing) {
  const BatchSampler sampler = *BatchSampler::Create(1, 1000, 128);
  EXPECT_EQ(sampler.StepsOf(2), 16);  // 15.6
  EXPECT_EQ(sampler.StepsOf(1e-6), 1);
  EXPECT_EQ(BatchSampler::Create(1, 1000, 10)->StepsOf(0.1), 10);
  EXPECT_EQ(BatchSampler::Create(1, 60000, 64)->StepsOf(1.1), 1032);  // 1031.25
}

TEST(BatchSampler, ABatchLargerThanTheSetIsRefused) {
  const auto sampler = BatchSampler::Create(1, 10, 11);
  EXPECT_EQ(sampler.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(sampler.status().message()),
              testing::HasSubstr("training.global_batch is 11: expected 1 to 10"));
  EXPECT_FALSE(BatchSampler::Create(1, 10, 0).ok());
}

}  // namespace
}  // namespace sluice
