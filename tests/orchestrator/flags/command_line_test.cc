#include "orchestrator/flags/command_line.h"

#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orchestrator/flags/number_pair.h"

ABSL_FLAG(int32_t, np, 1, "workers");
ABSL_FLAG(std::string, H, "", "hosts");
ABSL_FLAG(std::string, log_level, "WARNING", "least level shown");
ABSL_FLAG(bool, json, false, "machine-readable output");
ABSL_FLAG(bool, v, false, "verbose");
ABSL_FLAG(double, cycle_time_ms, 1, "pause");
ABSL_FLAG(uint32_t, ssh_port, 22, "port");
ABSL_FLAG(absl::Duration, limit, absl::Seconds(1), "time limit");
ABSL_FLAG(sluice::NumberPair, range, sluice::NumberPair(), "two numbers");
ABSL_FLAG(bool, not_of_this_command, false, "belongs to another subcommand");

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr absl::string_view kAllowed[] = {
    "np", "H", "log-level", "json", "v", "cycle_time_ms", "ssh_port", "limit", "range"};

class CommandLineTest : public testing::Test {
 protected:
  absl::StatusOr<CommandLine> Parse(const std::vector<std::string>& args) {
    return ParseCommandLine(args, kAllowed);
  }
  std::string ErrorOf(const std::vector<std::string>& args) {
    const absl::Status status = Parse(args).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return std::string(status.message());
  }

 private:
  absl::FlagSaver saver_;  // each test starts from the defaults
};

TEST_F(CommandLineTest, DashesAndUnderscoresAreTheSame) {
  for (const char* spelling : {"--log-level", "--log_level", "-log-level", "-log_level"}) {
    absl::SetFlag(&FLAGS_log_level, "");
    ASSERT_TRUE(Parse({spelling, "INFO"}).ok()) << spelling;
    EXPECT_EQ(absl::GetFlag(FLAGS_log_level), "INFO") << spelling;
  }
}

TEST_F(CommandLineTest, AFlagOfTwoNumbersTakesTwoWordsOrOne) {
  const auto range = [] {
    const NumberPair pair = absl::GetFlag(FLAGS_range);
    return std::vector<double>{pair.first, pair.second};
  };
  auto line = Parse({"--range", "10", "100.5", "job.yaml"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_THAT(range(), ElementsAre(10, 100.5));
  EXPECT_THAT(line->positional, ElementsAre("job.yaml"));
  ASSERT_TRUE(Parse({"--range=1,2"}).ok());
  EXPECT_THAT(range(), ElementsAre(1, 2));
  ASSERT_TRUE(Parse({"--range", "3:4"}).ok());
  EXPECT_THAT(range(), ElementsAre(3, 4));
  EXPECT_THAT(ErrorOf({"--range", "10"}), HasSubstr("needs a second number"));
  EXPECT_THAT(ErrorOf({"--range", "10", "x"}), HasSubstr("expected two numbers"));
}

TEST_F(CommandLineTest, ValueMayFollowAnEqualsSign) {
  ASSERT_TRUE(Parse({"--log-level=a=b", "-np=4", "--H="}).ok());
  EXPECT_EQ(absl::GetFlag(FLAGS_log_level), "a=b");
  EXPECT_EQ(absl::GetFlag(FLAGS_np), 4);
  EXPECT_EQ(absl::GetFlag(FLAGS_H), "");
}

TEST_F(CommandLineTest, OneDashTakesFlagsOfSeveralLetters) {
  ASSERT_TRUE(Parse({"-np", "4", "-H", "a:2,b:2", "-v"}).ok());
  EXPECT_EQ(absl::GetFlag(FLAGS_np), 4);
  EXPECT_EQ(absl::GetFlag(FLAGS_H), "a:2,b:2");
  EXPECT_TRUE(absl::GetFlag(FLAGS_v));
}

TEST_F(CommandLineTest, BooleansTakeNoWord) {
  const auto line = Parse({"--json", "false"});
  ASSERT_TRUE(line.ok());
  EXPECT_TRUE(absl::GetFlag(FLAGS_json));
  EXPECT_THAT(line->positional, ElementsAre("false"));
}

TEST_F(CommandLineTest, BooleansAreNegatedInThreeWays) {
  for (const char* off : {"--nojson", "--no-json", "--no_json", "--json=false"}) {
    absl::SetFlag(&FLAGS_json, true);
    ASSERT_TRUE(Parse({off}).ok()) << off;
    EXPECT_FALSE(absl::GetFlag(FLAGS_json)) << off;
  }
}

TEST_F(CommandLineTest, NegatedBooleanRefusesAValue) {
  EXPECT_EQ(ErrorOf({"--no-json=true"}), "flag --no-json takes no value, got \"true\"");
}

TEST_F(CommandLineTest, OnlyBooleansAreNegated) {
  EXPECT_THAT(ErrorOf({"--no-np"}), HasSubstr("unknown flag \"--no-np\""));
}

TEST_F(CommandLineTest, SetsAreGatheredInOrder) {
  const auto line = Parse({"--set", "a.b=1", "job.yaml", "--set=c=[1, 2]", "-set", "a.b=3"});
  ASSERT_TRUE(line.ok());
  EXPECT_THAT(line->sets, ElementsAre("a.b=1", "c=[1, 2]", "a.b=3"));
  EXPECT_THAT(line->positional, ElementsAre("job.yaml"));
}

TEST_F(CommandLineTest, SetWithoutValueIsRefused) {
  EXPECT_THAT(ErrorOf({"--set"}), HasSubstr("--set key=value"));
}

TEST_F(CommandLineTest, LoneDashesEndTheFlags) {
  const auto line = Parse({"job.yaml", "--", "--json", "-np", "--"});
  ASSERT_TRUE(line.ok());
  EXPECT_THAT(line->positional, ElementsAre("job.yaml"));
  EXPECT_THAT(line->after_dashes, ElementsAre("--json", "-np", "--"));
  EXPECT_FALSE(absl::GetFlag(FLAGS_json));
}

TEST_F(CommandLineTest, EmptyAndDashWordsArePositional) {
  const auto line = Parse({"", "-", "a b"});
  ASSERT_TRUE(line.ok());
  EXPECT_THAT(line->positional, ElementsAre("", "-", "a b"));
  EXPECT_THAT(line->after_dashes, IsEmpty());
}

TEST_F(CommandLineTest, LastValueWins) {
  ASSERT_TRUE(Parse({"-np", "2", "-np", "3"}).ok());
  EXPECT_EQ(absl::GetFlag(FLAGS_np), 3);
}

TEST_F(CommandLineTest, NegativeNumbersAreValues) {
  ASSERT_TRUE(Parse({"-np", "-4", "--cycle-time-ms", "-.5"}).ok());
  EXPECT_EQ(absl::GetFlag(FLAGS_np), -4);
  EXPECT_EQ(absl::GetFlag(FLAGS_cycle_time_ms), -0.5);
}

TEST_F(CommandLineTest, UnknownFlagNamesTheNearestOne) {
  EXPECT_EQ(ErrorOf({"--log-levle=INFO"}),
            "unknown flag \"--log-levle\": did you mean \"--log-level\"?");
  EXPECT_EQ(ErrorOf({"-pn", "4"}), "unknown flag \"-pn\": did you mean \"-np\"?");
}

TEST_F(CommandLineTest, UnknownFlagWithoutNeighbourListsAllFlags) {
  EXPECT_EQ(ErrorOf({"--quantum"}),
            "unknown flag \"--quantum\". Flags here: -H, --cycle-time-ms, --json, --limit, "
            "--log-level, -np, --range, --set, --ssh-port, -v");
}

TEST_F(CommandLineTest, FlagOfAnotherCommandIsUnknown) {
  EXPECT_THAT(ErrorOf({"--not-of-this-command"}), HasSubstr("unknown flag"));
  EXPECT_FALSE(absl::GetFlag(FLAGS_not_of_this_command));
}

TEST_F(CommandLineTest, MissingValueNamesTheFlag) {
  EXPECT_EQ(ErrorOf({"-np"}), "flag -np needs a value");
  EXPECT_EQ(ErrorOf({"--log-level", "--"}), "flag --log-level needs a value");
}

TEST_F(CommandLineTest, FlagInPlaceOfAValueIsNotSwallowed) {
  EXPECT_EQ(ErrorOf({"--log-level", "--json"}),
            "flag --log-level needs a value; for a value that begins with a dash write "
            "--log-level=--json");
}

TEST_F(CommandLineTest, BadValueNamesFlagAndValue) {
  EXPECT_THAT(ErrorOf({"-np", "4x"}),
              HasSubstr("flag -np: bad value \"4x\": expected a whole number"));
  EXPECT_THAT(ErrorOf({"--ssh-port=-1"}), HasSubstr("flag --ssh-port: bad value \"-1\""));
  EXPECT_THAT(ErrorOf({"--json=maybe"}),
              HasSubstr("flag --json: bad value \"maybe\": expected true or false"));
  EXPECT_THAT(ErrorOf({"--limit=soon"}), HasSubstr("flag --limit: bad value \"soon\""));
}

TEST_F(CommandLineTest, AllowedFlagThatIsNotLinkedIsOurBug) {
  constexpr absl::string_view kGone[] = {"gone"};
  EXPECT_EQ(ParseCommandLine({"--gone"}, kGone).status().code(), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace sluice
