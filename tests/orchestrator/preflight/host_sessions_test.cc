#include "orchestrator/preflight/host_sessions.h"

#include <csignal>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

ChildSpec Shell(const std::string& script) {
  ChildSpec spec;
  spec.name = "shell";
  spec.argv = {"/bin/sh", "-c", script};
  spec.keep_stdin_open = true;
  return spec;
}

constexpr char kEcho[] =
    "echo welcome; while read -r line; do echo \"sluice-check {\\\"line\\\":\\\"$line\\\"}\"; done";

absl::Time Soon() { return absl::Now() + absl::Seconds(20); }

TEST(HostSessions, AnswersComeByHostWithoutGreetings) {
  HostSessions sessions({Shell(kEcho), Shell(kEcho)});
  auto answers = sessions.Ask({"one\n", "two\n"}, Soon());
  ASSERT_TRUE(answers[0].came() && answers[1].came());
  EXPECT_EQ(answers[0].object["line"], "one");
  EXPECT_EQ(answers[1].object["line"], "two");
  EXPECT_LE(answers[0].sent, answers[0].arrived);
  answers = sessions.Ask({"", "three\n"}, Soon());
  EXPECT_FALSE(answers[0].came());
  EXPECT_EQ(answers[1].object["line"], "three");
}

TEST(HostSessions, WhoEndsIsNotWaitedFor) {
  std::signal(SIGPIPE, SIG_IGN);  // as main does
  HostSessions sessions({Shell("echo 'Permission denied' >&2; exit 255"), Shell(kEcho)});
  const auto answers = sessions.Ask({"one\n", "two\n"}, Soon());
  EXPECT_FALSE(answers[0].came());
  EXPECT_TRUE(answers[1].came());
  EXPECT_FALSE(sessions.lives(0));
  EXPECT_EQ(sessions.result(0).exit_code, 255);
  EXPECT_THAT(sessions.result(0).err, testing::HasSubstr("Permission denied"));
}

TEST(HostSessions, WhoIsSilentIsAskedNothingMore) {
  HostSessions sessions(
      {Shell("read -r line; read -r line; echo 'sluice-check {}'; read -r line")});
  auto answers = sessions.Ask({"one\n"}, absl::Now() + absl::Milliseconds(50));
  EXPECT_FALSE(answers[0].came());
  EXPECT_TRUE(sessions.result(0).timed_out);
  answers = sessions.Ask({"two\n"}, Soon());
  EXPECT_FALSE(answers[0].came());
}

TEST(HostSessions, NobodyOutlivesThem) {
  pid_t pid = 0;
  {
    HostSessions sessions(
        {Shell("trap '' TERM; echo \"sluice-check {\\\"pid\\\":$$}\"; while :; do sleep 9; done")});
    const auto answers = sessions.Ask({"one\n"}, Soon());
    ASSERT_TRUE(answers[0].came());
    pid = answers[0].object["pid"].get<int>();
    EXPECT_EQ(kill(pid, 0), 0);
  }
  EXPECT_NE(kill(pid, 0), 0);
}

}  // namespace
}  // namespace sluice
