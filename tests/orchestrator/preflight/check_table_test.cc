#include "orchestrator/preflight/check_table.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

CheckRow Row(Outcome outcome, const std::string& host, const std::string& what, int code = 0) {
  return {outcome, "clock", {host}, what, "", code};
}

TEST(WorstFirst, FailuresThenRemarksThenTheRest) {
  const auto rows = WorstFirst({Row(Outcome::kPassed, "a", "1"), Row(Outcome::kRemark, "a", "2"),
                                Row(Outcome::kFailed, "a", "3"), Row(Outcome::kFailed, "b", "4")});
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[0].what, "3");
  EXPECT_EQ(rows[1].what, "4");
  EXPECT_EQ(rows[2].what, "2");
  EXPECT_EQ(rows[3].what, "1");
}

TEST(WorstFirst, JoinsWhatIsSaidOfSeveralHosts) {
  const auto rows = WorstFirst({Row(Outcome::kPassed, "a", "1"), Row(Outcome::kPassed, "b", "2"),
                                Row(Outcome::kPassed, "c", "1")});
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_THAT(rows[0].where, ElementsAre("a", "c"));
  EXPECT_THAT(rows[1].where, ElementsAre("b"));
}

TEST(WorstFirst, DoesNotJoinWhatCameOutOtherwise) {
  EXPECT_EQ(WorstFirst({Row(Outcome::kPassed, "a", "1"), Row(Outcome::kRemark, "b", "1")}).size(),
            2u);
}

TEST(TableText, NamesAllHostsOnlyIfTheyAreAll) {
  CheckRow row = Row(Outcome::kPassed, "a", "fine");
  row.where = {"a", "b"};
  EXPECT_THAT(TableText({row}, 2), HasSubstr("all 2 hosts"));
  EXPECT_THAT(TableText({row}, 3), HasSubstr("a, b"));
  row.where = {"a", "b", "c", "d", "e", "f"};
  EXPECT_THAT(TableText({row}, 7), HasSubstr("a, b, c, d and 2 more"));
}

TEST(TableText, AdviceStandsUnderItsRowAndTheSumIsLast) {
  CheckRow bad = Row(Outcome::kFailed, "a", "4 s ahead", 78);
  bad.advice = "start NTP";
  const std::string text = TableText({bad, Row(Outcome::kRemark, "b", "so so")}, 2);
  EXPECT_THAT(text, HasSubstr("FAILED  clock  a  4 s ahead\n                  start NTP\n"));
  EXPECT_THAT(text, HasSubstr("\n2 hosts, 1 check failed, 1 remark\n"));
  const std::string good = TableText({Row(Outcome::kPassed, "a", "fine")}, 1);
  EXPECT_THAT(good, HasSubstr("1 host, all passed\n"));
  EXPECT_THAT(good, Not(HasSubstr("remark")));
}

TEST(ExitCodeOf, WhatCannotBeReachedHidesTheRest) {
  EXPECT_EQ(ExitCodeOf({}), 0);
  EXPECT_EQ(ExitCodeOf({Row(Outcome::kRemark, "a", "x"), Row(Outcome::kPassed, "a", "y")}), 0);
  const CheckRow storage = Row(Outcome::kFailed, "a", "x", 74);
  const CheckRow config = Row(Outcome::kFailed, "a", "x", 78);
  const CheckRow keys = Row(Outcome::kFailed, "a", "x", 77);
  const CheckRow network = Row(Outcome::kFailed, "a", "x", 69);
  EXPECT_EQ(ExitCodeOf({storage}), 74);
  EXPECT_EQ(ExitCodeOf({storage, config}), 78);
  EXPECT_EQ(ExitCodeOf({storage, config, keys}), 77);
  EXPECT_EQ(ExitCodeOf({storage, config, keys, network}), 69);
}

}  // namespace
}  // namespace sluice
