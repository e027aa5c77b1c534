#include "orchestrator/preflight/link_verdicts.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

LinkFacts Link(int a, int b, double speed) {
  LinkFacts link;
  link.a = a;
  link.b = b;
  link.address = "10.0.0.1 port 5";
  link.latency = absl::Milliseconds(0.1);
  link.to_a = link.to_b = speed;
  return link;
}

std::vector<CheckRow> NotPassed(const std::vector<LinkFacts>& links) {
  std::vector<CheckRow> bad;
  for (CheckRow& row : JudgeLinks({"a", "b", "c", "d"}, links)) {
    if (row.outcome != Outcome::kPassed) bad.push_back(std::move(row));
  }
  return bad;
}

TEST(JudgeLinks, LikeSpeedsPassWithTheirNumbers) {
  const auto rows = JudgeLinks({"a", "b"}, {Link(0, 1, 100e6)});
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].outcome, Outcome::kPassed);
  EXPECT_EQ(rows[0].what, "0.100 ms, 100.0 MB/s there, 100.0 MB/s back");
  EXPECT_TRUE(NotPassed({Link(0, 1, 100e6), Link(2, 3, 60e6), Link(0, 2, 110e6)}).empty());
}

TEST(JudgeLinks, AHostWithTwoSlowLinksIsNamed) {
  const auto bad =
      NotPassed({Link(0, 1, 100e6), Link(2, 3, 10e6), Link(1, 2, 12e6), Link(0, 3, 100e6)});
  ASSERT_EQ(bad.size(), 1u);
  EXPECT_THAT(bad[0].where, ElementsAre("c"));
  EXPECT_THAT(bad[0].what, HasSubstr("at most 12.0 MB/s to each of 2 hosts"));
}

TEST(JudgeLinks, OfThreeHostsTheSlowOneIsNamedAlthoughMostLinksAreSlow) {
  const auto bad = NotPassed({Link(1, 2, 6e6), Link(0, 2, 6e6), Link(0, 1, 100e6)});
  ASSERT_EQ(bad.size(), 1u);
  EXPECT_THAT(bad[0].where, ElementsAre("c"));
}

TEST(JudgeLinks, ASlowPairOfGoodHostsIsNamedAsAPair) {
  const auto bad =
      NotPassed({Link(0, 1, 100e6), Link(2, 3, 10e6), Link(1, 2, 100e6), Link(0, 3, 100e6)});
  ASSERT_EQ(bad.size(), 1u);
  EXPECT_THAT(bad[0].where, ElementsAre("c - d"));
}

TEST(JudgeLinks, TheSlowerDirectionCounts) {
  LinkFacts lame = Link(0, 2, 100e6);
  lame.to_a = 1e6;
  EXPECT_EQ(NotPassed({Link(0, 1, 100e6), lame, Link(1, 2, 100e6)}).size(), 1u);
}

TEST(JudgeLinks, OneWayThatFailsIsAFirewallIfTheOtherWorks) {
  LinkFacts closed = Link(0, 1, 0);
  closed.error = "Connection refused";
  auto bad = NotPassed({closed, Link(1, 0, 0)});
  ASSERT_EQ(bad.size(), 1u);
  EXPECT_EQ(bad[0].exit_code, 69);
  EXPECT_THAT(bad[0].where, ElementsAre("b -> a"));
  EXPECT_THAT(bad[0].what, HasSubstr("SL1012 10.0.0.1 port 5: Connection refused"));
  bad = NotPassed({closed});
  ASSERT_EQ(bad.size(), 1u);
  EXPECT_THAT(bad[0].what, HasSubstr("SL1011"));
}

}  // namespace
}  // namespace sluice
