#include "orchestrator/launcher/host_list.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Read(absl::string_view text) {
  auto hosts = ParseHostList(text);
  return hosts.ok() ? ToString(*hosts) : std::string(hosts.status().message());
}

std::string ReadFile(absl::string_view text) {
  auto file = ParseHostFile(text, "hosts");
  return file.ok() ? ToString(file->hosts) : std::string(file.status().message());
}

TEST(ParseHostList, TheExamplesOfTheGrammar) {
  EXPECT_EQ(Read("a01:4,a02:4"), "a01 4, a02 4");
  EXPECT_EQ(Read("10.0.0.5:8"), "10.0.0.5 8");
  EXPECT_EQ(Read("[fd00::12]:2,[fd00::13]:2"), "fd00::12 2, fd00::13 2");
  EXPECT_EQ(Read("localhost"), "localhost 1");
  EXPECT_EQ(Read("  a:1 ,  b-2.c_d:3 "), "a 1, b-2.c_d 3");
  EXPECT_EQ(Read("[fd00::7]"), "fd00::7 1");
}

TEST(ParseHostList, EveryErrorHasTextPositionAndExpectation) {
  const std::pair<const char*, const char*> wrong[] = {
      {"a01:4,a02:", "number missing after \"a02:\" (character 7)"},
      {"a:0", "from 1"},
      {"a:-1", "\"-1\""},
      {"a:+1", "\"+1\""},
      {"a:x", "\"x\""},
      {"a:4:5", "\"4:5\""},
      {"a:99999999999", "from 1"},
      {"", "a host is missing (character 1)"},
      {"a,,b", "a host is missing (character 3)"},
      {"a:1,", "a host is missing (character 5)"},
      {":4", "a host is missing"},
      {"fd00::12:2", "\":12:2\""},
      {"[fd00::12:2", "no IPv6 address in brackets"},
      {"[name]:2", "no IPv6 address in brackets"},
      {"10.0.0.256:2", "no IPv4 address"},
      {"1.2.3:1", "no IPv4 address"},
      {"a b:2", "\"a b\""},
      {"user@a:2", "\"user@a\""},
      {"-oProxyCommand=x:1", "is no host"},
      {"-l:1", "begins with \"-\""},
  };
  for (const auto& [text, part] : wrong) {
    EXPECT_THAT(Read(text),
                AllOf(HasSubstr("SL1091 -H"), HasSubstr(part), HasSubstr("(character ")))
        << text;
  }
}

TEST(ParseHostList, TheSameHostTwiceNamesBothPositions) {
  EXPECT_THAT(Read("a:1,b:2, A:3"), HasSubstr("host \"A\" twice (characters 1 and 10)"));
  EXPECT_THAT(Read("[fd00::1],[fd00:0::1]"), HasSubstr("twice (characters 1 and 11)"));
}

TEST(ParseHostFile, EveryFormInOneFile) {
  const auto file = ParseHostFile(
      "# training pool, rack 3\n"
      "node01 slots=4\n"
      "\n"
      "node02   slots = 8   # new cards\r\n"
      "node03:4\n"
      "node04\n"
      "10.1.2.9 slots=2 max_slots=4\n"
      "\tspare\tslots= 0\n"
      "[fd00::7] slots=2",
      "pool");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(ToString(file->hosts),
            "node01 4, node02 8, node03 4, node04 1, 10.1.2.9 2, spare 0, fd00::7 2");
  EXPECT_THAT(file->notes, ElementsAre("pool:7: max_slots=4 is ignored"));
}

TEST(ParseHostFile, EveryErrorHasFileLineTextAndExpectation) {
  const std::pair<const char*, const char*> wrong[] = {
      {"a\nb slot=4\n", "hosts:2: \"b slot=4\": unknown key \"slot\": did you mean \"slots\"?"},
      {"a 4\n", "hosts:1: \"a 4\": expected slots=N, got \"4\""},
      {"a slots\n", "expected slots=N, got \"slots\""},
      {"a slots=\n", "slots \"\": expected a whole number"},
      {"a slots=-4\n", "slots \"-4\": expected a whole number from 0"},
      {"a slots=4 slots=4\n", "twice"},
      {"a:4 slots=4\n", "twice"},
      {"a:\n", "number missing after \"a:\""},
      {"a:0\n", "from 1"},
      {"# b\n a!\n", "hosts:2: \"a!\": \"a!\" is no host"},
      {"a\xff\n", "is no host"},
      {"a max_slots=x\n", "max_slots: slots \"x\""},
      {"a = 4\n", "unknown key \"\""},
  };
  for (const auto& [text, part] : wrong) {
    EXPECT_THAT(ReadFile(text), AllOf(HasSubstr("SL1091 hosts:"), HasSubstr(part))) << text;
  }
}

TEST(ParseHostFile, TheSameHostTwiceNamesBothLines) {
  EXPECT_THAT(ReadFile("a\nb\na slots=2\n"),
              HasSubstr("hosts:3: \"a slots=2\": host \"a\" twice (lines 1 and 3)"));
}

TEST(ParseHostFile, AFileWithoutHostsIsAnError) {
  EXPECT_THAT(ReadFile("# nobody\n\n"), HasSubstr("names no host"));
}

TEST(ParseDiscoveredHosts, TakesEveryFormInTheOrderOfLines) {
  const DiscoveredHosts found =
      ParseDiscoveredHosts("b slots=2\n\na:3 # new\r\n[fd00::7]\nd slots=0", 4, "find.sh");
  EXPECT_EQ(ToString(found.hosts), "b 2, a 3, fd00::7 4, d 0");
  EXPECT_TRUE(found.problems.empty());
}

TEST(ParseDiscoveredHosts, NoHostAtAllIsAGoodAnswer) {
  EXPECT_TRUE(ParseDiscoveredHosts("", 0, "find.sh").problems.empty());
}

TEST(ParseDiscoveredHosts, AWrongLineIsLeftOutAndToldWithItsNumber) {
  const DiscoveredHosts found = ParseDiscoveredHosts("a:1\nb:\nc:2\na:4\nd\n", 0, "find.sh");
  EXPECT_EQ(ToString(found.hosts), "a 1, c 2");
  ASSERT_EQ(found.problems.size(), 3u);
  EXPECT_THAT(found.problems[0].message,
              AllOf(HasSubstr("SL1091 find.sh, line 2 of its output: \"b:\""),
                    HasSubstr("number missing")));
  EXPECT_THAT(found.problems[1].message, HasSubstr("line 1 has this host already"));
  EXPECT_THAT(found.problems[2].message, HasSubstr("--slots-per-host"));
}

TEST(LoadHostFile, AFileThatIsNotThereHasTheSystemsReason) {
  EXPECT_THAT(std::string(LoadHostFile("/no/such/hosts").status().message()),
              AllOf(HasSubstr("/no/such/hosts"), HasSubstr("No such file")));
}

}  // namespace
}  // namespace sluice
