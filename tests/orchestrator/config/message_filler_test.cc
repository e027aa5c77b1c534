#include "orchestrator/config/message_filler.h"

#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orchestrator/config/field_value.h"
#include "orchestrator/config/yaml_reader.h"
#include "tests/orchestrator/config/sample.pb.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class MessageFillerTest : public testing::Test {
 protected:
  MessageFillerTest() { SetDefaults(sample_); }

  // The errors' text, "" when there are none.
  std::string Fill(const std::string& yaml) {
    ErrorList errors;
    const absl::StatusOr<Node> root = ReadYaml(yaml, "f");
    EXPECT_TRUE(root.ok()) << root.status();
    if (!root.ok()) return "unreadable";
    MessageFiller({"f", true, false}, errors, origins_).Fill(*root, sample_);
    return std::string(errors.ToStatus().message());
  }

  test::Sample sample_;
  std::map<std::string, std::string> origins_;
};

TEST_F(MessageFillerTest, DefaultsOfEveryKindComeFromTheRules) {
  EXPECT_EQ(sample_.color(), test::Sample::COLOR_RED);
  EXPECT_TRUE(sample_.on());
  EXPECT_EQ(sample_.ratio(), 0.5f);
  EXPECT_THAT(sample_.words(), ElementsAre("a", "b"));
  EXPECT_EQ(sample_.parts_size(), 0);
  EXPECT_EQ(sample_.big(), 0u);
}

TEST_F(MessageFillerTest, EnumsAreWrittenByName) {
  EXPECT_EQ(Fill("color: COLOR_NONE"), "");
  EXPECT_EQ(sample_.color(), test::Sample::COLOR_NONE);
  EXPECT_EQ(Fill("color: COLOR_REDD"),
            "f:1: color: unknown word \"COLOR_REDD\": did you mean \"COLOR_RED\"? Accepted: "
            "COLOR_NONE, COLOR_RED");
}

TEST_F(MessageFillerTest, BooleansAreTrueOrFalse) {
  EXPECT_EQ(Fill("on: false"), "");
  EXPECT_FALSE(sample_.on());
  EXPECT_EQ(Fill("on: yes"), "f:1: on: expected true or false, got \"yes\"");
  EXPECT_EQ(Fill("on: \"true\""), "f:1: on: expected true or false, got the text \"true\"");
}

TEST_F(MessageFillerTest, ListOfGroupsGivesEachGroupItsDefaults) {
  EXPECT_EQ(Fill("parts: [{name: x}, {count: 3}]"), "");
  ASSERT_EQ(sample_.parts_size(), 2);
  EXPECT_EQ(sample_.parts(0).name(), "x");
  EXPECT_EQ(sample_.parts(0).count(), 7u);
  EXPECT_EQ(sample_.parts(1).name(), "part");
  EXPECT_EQ(sample_.parts(1).count(), 3u);
}

TEST_F(MessageFillerTest, ErrorInAGroupOfAListHasItsLine) {
  EXPECT_EQ(Fill("parts:\n- name: x\n- count: 11"),
            "f:3: parts.count: expected a whole number at most 10, got \"11\"");
}

TEST_F(MessageFillerTest, ListReplacesTheDefault) {
  EXPECT_EQ(Fill("words: [c]"), "");
  EXPECT_THAT(sample_.words(), ElementsAre("c"));
}

TEST_F(MessageFillerTest, OneValueIsAListOfOne) {
  EXPECT_EQ(Fill("words: b"), "");
  EXPECT_THAT(sample_.words(), ElementsAre("b"));
}

TEST_F(MessageFillerTest, ListMayBeEmptyUnlessTheRuleSaysNo) {
  EXPECT_EQ(Fill("words: []"), "");
  EXPECT_EQ(sample_.words_size(), 0);
}

TEST_F(MessageFillerTest, OverlongListIsRefusedOnce) {
  std::string yaml = "words: [a";
  for (int i = 0; i < 2 * MessageFiller::kMostElements; ++i) yaml += ",a";
  EXPECT_EQ(Fill(yaml + "]"), "f:1: words: expected at most 1000 values");
}

TEST_F(MessageFillerTest, ExtremesOfWholeNumbersAreExact) {
  EXPECT_EQ(Fill("big: 18446744073709551615\nnegative: -9223372036854775808"), "");
  EXPECT_EQ(sample_.big(), std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(sample_.negative(), std::numeric_limits<int64_t>::min());
}

TEST_F(MessageFillerTest, WholeNumbersOutsideTheTypeAreRefused) {
  EXPECT_THAT(Fill("big: 18446744073709551616"), HasSubstr("expected a whole number"));
  EXPECT_THAT(Fill("negative: -9223372036854775809"), HasSubstr("expected a whole number"));
  EXPECT_THAT(Fill("big: -1"), HasSubstr("expected a whole number"));
  EXPECT_THAT(Fill("big: 1e17"), HasSubstr("expected a whole number"));
}

TEST_F(MessageFillerTest, WholeNumbersMayHaveAnExponent) {
  EXPECT_EQ(Fill("big: 1e3\nnegative: -2.5e1"), "");
  EXPECT_EQ(sample_.big(), 1000u);
  EXPECT_EQ(sample_.negative(), -25);
}

TEST_F(MessageFillerTest, ExclusiveMinimumIsNotAccepted) {
  EXPECT_EQ(Fill("above: 0"), "f:1: above: expected a number above 0, got \"0\"");
  EXPECT_EQ(Fill("above: 1e-300"), "");
}

TEST_F(MessageFillerTest, OriginsNameTheLineOfEachKeySet) {
  EXPECT_EQ(Fill("on: true\n\nwords: [a]\nratio: 1"), "");
  EXPECT_EQ(origins_["on"], "f:1");
  EXPECT_EQ(origins_["words"], "f:3");
  EXPECT_EQ(origins_.count("color"), 0u);
}

class NotANumber : public MessageFillerTest, public testing::WithParamInterface<const char*> {};

TEST_P(NotANumber, IsRefused) {
  EXPECT_THAT(Fill(absl::StrCat("ratio: ", GetParam())),
              HasSubstr("ratio: expected a number 0 or more, got"));
  EXPECT_THAT(Fill(absl::StrCat("negative: ", GetParam())),
              HasSubstr("negative: expected a whole number, got"));
}

INSTANTIATE_TEST_SUITE_P(Texts, NotANumber,
                         testing::Values("10x", "0x10", "010", "1_000", ".inf", "nan", ".", "+",
                                         "1e", "1e999", "1,5", "'4'", "\" 4\"", "--1", "[1]",
                                         "{a: 1}", "~", "true"));

}  // namespace
}  // namespace sluice
