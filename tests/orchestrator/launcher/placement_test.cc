#include "orchestrator/launcher/placement.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// "rank host local/size cross/size", as in the table of the conventions.
std::vector<std::string> Table(const std::vector<HostSlots>& hosts, int workers) {
  auto placed = Place(hosts, workers);
  EXPECT_TRUE(placed.ok()) << placed.status();
  std::vector<std::string> lines;
  for (const Placement& one : *placed) {
    lines.push_back(absl::StrCat(one.rank, " ", hosts[one.host].host, " ", one.local_rank, "/",
                                 one.local_size, " ", one.cross_rank, "/", one.cross_size));
  }
  return lines;
}

TEST(Place, UnevenHostsGetConsecutiveRanks) {
  EXPECT_THAT(Table({{"A", 2}, {"B", 4}, {"C", 1}}, 7),
              ElementsAre("0 A 0/2 0/3", "1 A 1/2 0/2", "2 B 0/4 1/3", "3 B 1/4 1/2", "4 B 2/4 0/1",
                          "5 B 3/4 0/1", "6 C 0/1 2/3"));
}

TEST(Place, FillingStopsAtTheNumberOfWorkers) {
  EXPECT_THAT(Table({{"A", 2}, {"B", 4}, {"C", 1}}, 3),
              ElementsAre("0 A 0/2 0/2", "1 A 1/2 0/1", "2 B 0/1 1/2"));
}

TEST(Place, AHostWithoutSlotsIsPassedOver) {
  const auto placed = Place(std::vector<HostSlots>{{"A", 0}, {"B", 1}, {"C", 1}}, 2);
  ASSERT_TRUE(placed.ok());
  EXPECT_EQ((*placed)[0].host, 1);
  EXPECT_EQ((*placed)[0].node, 0);
  EXPECT_EQ((*placed)[1].node, 1);
  EXPECT_EQ((*placed)[1].nodes, 2);
}

TEST(Place, TooFewSlotsNameBothNumbersAndEveryHost) {
  const absl::Status status =
      Place(std::vector<HostSlots>{{"node01", 4}, {"node02", 4}, {"node03", 4}}, 16).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("SL1020 16 workers asked, 12 slots"),
                                                   HasSubstr("node01 4, node02 4, node03 4")));
}

TEST(OldHostsFirst, WhoWasThereKeepsItsOrderAndComesFirst) {
  const std::vector<HostSlots> before = {{"A", 2}, {"B", 4}, {"C", 1}};
  // B leaves, D joins, and the new list has another order and other slots.
  const auto after = OldHostsFirst(before, std::vector<HostSlots>{{"D", 2}, {"C", 3}, {"A", 2}});
  ASSERT_TRUE(after.ok());
  EXPECT_EQ(ToString(*after), "A 2, C 3, D 2");
  EXPECT_THAT(Table(*after, 3), ElementsAre("0 A 0/2 0/2", "1 A 1/2 0/1", "2 C 0/1 1/2"));
}

TEST(OldHostsFirst, WithoutAnOldHostNobodyHoldsTheState) {
  const std::vector<HostSlots> before = {{"A", 2}};
  EXPECT_EQ(OldHostsFirst(before, std::vector<HostSlots>{{"B", 2}}).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(OldHostsFirst(before, std::vector<HostSlots>{{"A", 0}, {"B", 2}}).ok());
}

}  // namespace
}  // namespace sluice
