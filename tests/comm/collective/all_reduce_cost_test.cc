#include "comm/collective/all_reduce_cost.h"

#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

constexpr LinkEstimate kEthernet{30e-6, 1.25e9, 0};
constexpr int64_t kSmall = 200;
constexpr int64_t kLarge = 25 << 20;

std::vector<int> Hosts(std::vector<int> ranks_of_host) {
  std::vector<int> hosts;
  for (size_t host = 0; host < ranks_of_host.size(); ++host) {
    hosts.insert(hosts.end(), static_cast<size_t>(ranks_of_host[host]), static_cast<int>(host));
  }
  return hosts;
}

TEST(ChooseAllReduce, AFewRanksOfAHostExchangeLargeVectorsDirectly) {
  for (int ranks = 2; ranks <= 8; ++ranks) {
    EXPECT_EQ(ChooseAllReduce(kLarge, ranks, {}, kEthernet), AllReduceAlgorithm::kDirect) << ranks;
  }
}

TEST(ChooseAllReduce, AFewHostsFormARingForLargeVectorsWhichKeepsEveryLinkBusy) {
  for (int ranks = 3; ranks <= 8; ++ranks) {
    EXPECT_EQ(ChooseAllReduce(kLarge, ranks, Hosts(std::vector<int>(ranks, 1)), kEthernet),
              AllReduceAlgorithm::kRing)
        << ranks;
  }
}

TEST(ChooseAllReduce, ManyRanksHalveAndDoubleSmallVectors) {
  for (int ranks : {8, 16, 64, 100}) {
    EXPECT_EQ(ChooseAllReduce(kSmall, ranks, {}, kEthernet), AllReduceAlgorithm::kHalvingDoubling)
        << ranks;
  }
}

TEST(ChooseAllReduce, TwoRanksSwapASmallVectorInOneStep) {
  EXPECT_EQ(ChooseAllReduce(kSmall, 2, {}, kEthernet), AllReduceAlgorithm::kHalvingDoubling);
}

TEST(ChooseAllReduce, ThreeRanksDoNotFoldButExchangeDirectly) {
  EXPECT_EQ(ChooseAllReduce(kSmall, 3, {}, kEthernet), AllReduceAlgorithm::kDirect);
}

TEST(ChooseAllReduce, LargeVectorsStayInsideHostsAsLongAsTheyCan) {
  EXPECT_EQ(ChooseAllReduce(kLarge, 8, Hosts({4, 4}), kEthernet),
            AllReduceAlgorithm::kHierarchical);
  EXPECT_EQ(ChooseAllReduce(kLarge, 32, Hosts({8, 8, 8, 8}), kEthernet),
            AllReduceAlgorithm::kHierarchical);
}

TEST(ChooseAllReduce, UnequalHostsOnAFastLinkFormARingInsteadOfLoadingTheirLowestRank) {
  EXPECT_EQ(ChooseAllReduce(kLarge, 6, Hosts({4, 2}), kEthernet), AllReduceAlgorithm::kRing);
}

TEST(ChooseAllReduce, UnequalHostsOnASlowLinkSendItOnceFromEach) {
  EXPECT_EQ(ChooseAllReduce(kLarge, 6, Hosts({4, 2}), {30e-6, 1e8, 0}),
            AllReduceAlgorithm::kHierarchical);
}

TEST(ChooseAllReduce, OneHostIsAsGoodAsNone) {
  for (int64_t bytes : {kSmall, kLarge}) {
    EXPECT_EQ(ChooseAllReduce(bytes, 4, Hosts({4}), kEthernet),
              ChooseAllReduce(bytes, 4, {}, kEthernet));
  }
}

TEST(AllReduceSeconds, WithAHostForEachRankHierarchicalIsDirect) {
  for (int64_t bytes : {kSmall, kLarge}) {
    EXPECT_EQ(AllReduceSeconds(AllReduceAlgorithm::kHierarchical, bytes, 4, Hosts({1, 1, 1, 1}),
                               kEthernet),
              AllReduceSeconds(AllReduceAlgorithm::kDirect, bytes, 4, Hosts({1, 1, 1, 1}),
                               kEthernet));
  }
}

TEST(ChooseAllReduce, NothingToDoCostsNothing) {
  EXPECT_EQ(AllReduceSeconds(AllReduceAlgorithm::kRing, 0, 8, {}, kEthernet), 0);
  EXPECT_EQ(AllReduceSeconds(AllReduceAlgorithm::kRing, kLarge, 1, {}, kEthernet), 0);
}

TEST(AllReduceSeconds, IsStepsAndMessagesAndBytes) {
  constexpr double kMessage = 3e-6;
  const LinkEstimate link{1e-3, 1e6, 0};
  // 4 ranks, 1 MB: every rank sends 3/4 MB twice.
  EXPECT_DOUBLE_EQ(AllReduceSeconds(AllReduceAlgorithm::kDirect, 1000000, 4, {}, link),
                   2 * 1e-3 + 6 * kMessage + 1.5);
  EXPECT_DOUBLE_EQ(AllReduceSeconds(AllReduceAlgorithm::kRing, 1000000, 4, {}, link),
                   6 * 1e-3 + 6 * kMessage + 1.5);
  EXPECT_DOUBLE_EQ(AllReduceSeconds(AllReduceAlgorithm::kHalvingDoubling, 1000000, 4, {}, link),
                   4 * 1e-3 + 4 * kMessage + 1.5);
  // 4 ranks on 2 hosts: half the vector crosses from each host, twice.
  EXPECT_DOUBLE_EQ(
      AllReduceSeconds(AllReduceAlgorithm::kHierarchical, 1000000, 4, Hosts({2, 2}), link),
      2 * 1e-3 + 2 * 5e-6 + 4 * kMessage + 1.0 + 1e6 / 5e9);
  // Directly, both ranks of a host send half of the vector to the other host, twice, and no link is
  // busy all the time.
  EXPECT_DOUBLE_EQ(AllReduceSeconds(AllReduceAlgorithm::kDirect, 1000000, 4, Hosts({2, 2}), link),
                   2 * 1e-3 + 6 * kMessage + 1.05 * 2.0 + 0.5e6 / 5e9);
}

TEST(AllReduceAlgorithm, NamesParseBack) {
  for (AllReduceAlgorithm algorithm :
       {AllReduceAlgorithm::kAuto, AllReduceAlgorithm::kDirect, AllReduceAlgorithm::kRing,
        AllReduceAlgorithm::kHalvingDoubling, AllReduceAlgorithm::kHierarchical}) {
    const auto parsed = ParseAllReduceAlgorithm(ToString(algorithm));
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, algorithm);
  }
}

TEST(AllReduceAlgorithm, AnUnknownNameIsRefusedWithThoseThereAre) {
  EXPECT_EQ(
      ParseAllReduceAlgorithm("rings").status(),
      absl::InvalidArgumentError("all-reduce algorithm \"rings\" is not one of auto, direct, ring, "
                                 "halving-doubling, hierarchical"));
}

}  // namespace
}  // namespace sluice
