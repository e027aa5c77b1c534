#include "orchestrator/launcher/discovery_script.h"

#include <sys/stat.h>

#include <cstdlib>
#include <fstream>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// A file in the test's folder. \return its path
std::string Write(const std::string& name, const std::string& text, mode_t mode = 0755) {
  const std::string path = std::string(std::getenv("TEST_TMPDIR")) + "/" + name;
  std::ofstream(path) << text;
  chmod(path.c_str(), mode);
  return path;
}

TEST(DiscoveryScript, TellsTheHostsInTheOrderOfTheOutput) {
  DiscoveryScript script(Write("good one.sh", "#!/bin/sh\necho b:2\necho a\n"), 4);
  const auto answer = script.Ask();
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(ToString(answer->hosts), "b 2, a 4");
}

TEST(DiscoveryScript, MayBeACommandOfTheShell) {
  DiscoveryScript script("echo a:1; echo b:2", 0);
  const auto answer = script.Ask();
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(ToString(answer->hosts), "a 1, b 2");
}

TEST(DiscoveryScript, NoOutputIsAnAnswerWithoutHosts) {
  DiscoveryScript script("true", 0);
  const auto answer = script.Ask();
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(answer->hosts.empty());
}

TEST(DiscoveryScript, ABadEndIsToldWithItsCodeAndTheLastLineOfErrors) {
  DiscoveryScript script("echo a:1; echo first >&2; echo 'kubectl: forbidden' >&2; exit 3", 0);
  const auto answer = script.Ask();
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(answer.status().message()),
              AllOf(HasSubstr("SL1090"), HasSubstr("exited with 3: \"kubectl: forbidden\"")));
}

TEST(DiscoveryScript, AFileThatMayNotBeExecutedSaysSo) {
  DiscoveryScript script(Write("plain.sh", "echo a:1\n", 0644), 0);
  EXPECT_THAT(std::string(script.Ask().status().message()), HasSubstr("chmod +x"));
}

TEST(DiscoveryScript, ARunThatTakesTooLongIsKilledWithItsChildren) {
  DiscoveryScript script("sleep 1000 & echo a:1; wait", 0, absl::Milliseconds(200));
  EXPECT_THAT(std::string(script.Ask().status().message()),
              HasSubstr("took longer than 200ms: killed"));
}

TEST(DiscoveryScript, PollDoesNotWaitAndRunsOneAtATime) {
  DiscoveryScript script("echo a:1", 0);
  std::optional<DiscoveryScript::Answer> answer;
  int polls = 0;
  for (; !answer.has_value(); ++polls) {
    answer = script.Poll();
    absl::SleepFor(absl::Milliseconds(1));
  }
  ASSERT_TRUE(answer->ok()) << answer->status();
  EXPECT_GT(polls, 1);
  EXPECT_FALSE(script.Poll().has_value());  // not due yet, or under way
}

}  // namespace
}  // namespace sluice
