#include "orchestrator/preflight/pair_rounds.h"

#include <set>

#include "gtest/gtest.h"

namespace sluice {
namespace {

TEST(PairRounds, NobodyToPair) {
  EXPECT_TRUE(PairRounds(0).empty());
  EXPECT_TRUE(PairRounds(1).empty());
}

TEST(PairRounds, TwoHostsAreOnePair) {
  ASSERT_EQ(PairRounds(2).size(), 1u);
  EXPECT_EQ(PairRounds(2)[0], (std::vector<HostPair>{{0, 1}}));
}

class PairRoundsOfMany : public testing::TestWithParam<int> {};

TEST_P(PairRoundsOfMany, AreDisjointAndNoPairComesTwice) {
  std::set<HostPair> pairs;
  for (const auto& round : PairRounds(GetParam())) {
    EXPECT_EQ(static_cast<int>(round.size()), GetParam() / 2);
    std::set<int> busy;
    for (const HostPair& pair : round) {
      EXPECT_LT(pair.first, pair.second);
      EXPECT_GE(pair.first, 0);
      EXPECT_LT(pair.second, GetParam());
      EXPECT_TRUE(busy.insert(pair.first).second);
      EXPECT_TRUE(busy.insert(pair.second).second);
      EXPECT_TRUE(pairs.insert(pair).second) << pair.first << " " << pair.second;
    }
  }
}

TEST_P(PairRoundsOfMany, GiveEachHostTwoPartners) {
  const auto rounds = PairRounds(GetParam());
  EXPECT_LE(rounds.size(), 3u);
  std::vector<int> partners(GetParam());
  for (const auto& round : rounds) {
    for (const auto& [a, b] : round) ++partners[a], ++partners[b];
  }
  for (int count : partners) EXPECT_GE(count, 2);
}

INSTANTIATE_TEST_SUITE_P(Hosts, PairRoundsOfMany, testing::Values(3, 4, 5, 6, 7, 8, 17, 64));

}  // namespace
}  // namespace sluice
