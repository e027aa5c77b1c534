#include "comm/reducer/profiler_shards.h"

#include <algorithm>
#include <numeric>

#include "base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using testing::ElementsAre;

double Busiest(const std::vector<double>& costs, const std::vector<int>& owners, int shards) {
  std::vector<double> loads(static_cast<size_t>(shards));
  for (size_t i = 0; i < costs.size(); ++i) loads[static_cast<size_t>(owners[i])] += costs[i];
  return *std::max_element(loads.begin(), loads.end());
}

double BestPossible(const std::vector<double>& costs, int shards) {
  double best = std::accumulate(costs.begin(), costs.end(), 0.0);
  std::vector<int> owners(costs.size());
  for (;;) {
    best = std::min(best, Busiest(costs, owners, shards));
    size_t i = 0;
    while (i < owners.size() && ++owners[i] == shards) owners[i++] = 0;
    if (i == owners.size()) return best;
  }
}

TEST(ShardByCost, TheLongestGoesFirstAndToTheLeastBusy) {
  EXPECT_THAT(ShardByCost({2, 7, 3, 5}, 2), ElementsAre(0, 0, 1, 1));
}

TEST(ShardByCost, EqualCostsGoByIndex) {
  EXPECT_THAT(ShardByCost({1, 1, 1, 1, 1}, 3), ElementsAre(0, 1, 2, 0, 1));
}

TEST(ShardByCost, OneShardOwnsAll) { EXPECT_THAT(ShardByCost({4, 0, 9}, 1), ElementsAre(0, 0, 0)); }

TEST(ShardByCost, MoreShardsThanJobsLeavesSomeIdle) {
  EXPECT_THAT(ShardByCost({1, 2}, 5), ElementsAre(1, 0));
  EXPECT_TRUE(ShardByCost({}, 5).empty());
}

TEST(ShardByCost, IsWithinGrahamsBoundOfTheBest) {
  for (uint64_t i = 0; i < 500; ++i) {
    const RandomKey key = RandomKey(41).With(i);
    const int shards = 1 + static_cast<int>(key.Below(0, 4));
    std::vector<double> costs;
    for (uint64_t j = 0; j < 1 + key.Below(1, 7); ++j) {
      costs.push_back(static_cast<double>(key.Below(2 + j, 50)));
    }
    const double bound = 4.0 / 3 - 1.0 / (3 * shards);
    EXPECT_LE(Busiest(costs, ShardByCost(costs, shards), shards),
              bound * BestPossible(costs, shards) + 1e-9)
        << "instance " << i;
  }
}

TEST(ProfilerShards, MatricesCountForMoreThanVectorsOfTheirLength) {
  const BucketLayout layout =
      *BucketLayout::Create({{"vector", 4000, 4000}, {"a", 1000, 10}, {"b", 1000, 10}}, 1 << 20, 2);
  EXPECT_THAT(ProfilerShards(layout, 2), ElementsAre(0, 0, 1));
}

}  // namespace
}  // namespace sluice
