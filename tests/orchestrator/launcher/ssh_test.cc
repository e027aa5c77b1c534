#include "orchestrator/launcher/ssh.h"

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/version.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

CommandResult Result(int exit_code, const std::string& out, const std::string& err) {
  CommandResult result;
  result.exit_code = exit_code;
  result.out = out;
  result.err = err;
  return result;
}

CommandResult Good() {
  return Result(0, absl::StrCat("motd\nsluice-probe ", kVersion, " 10.0.0.1\n"), "");
}

absl::Status Judged(const std::vector<std::string>& hosts,
                    const std::vector<CommandResult>& results) {
  SshOptions options;
  options.port = 2222;
  return JudgeProbes(options, hosts, "/opt/orchestrator", results).status();
}

TEST(SshArgv, NeverPromptsAndChecksHostKeys) {
  SshOptions options;
  options.program = "/usr/bin/ssh";
  std::vector<std::string> argv = SshArgv(options, "node1", {"/opt/it's", "remote-exec"});
  EXPECT_THAT(argv, AllOf(Contains("BatchMode=yes"), Contains("StrictHostKeyChecking=yes"),
                          Not(Contains("-p")), Not(Contains("-i"))));
  EXPECT_EQ(argv.back(), "'/opt/it'\\''s' 'remote-exec'");
  options.port = 2222;
  options.identity_file = "/k";
  options.accept_new = true;
  argv = SshArgv(options, "node1", {"x"});
  EXPECT_THAT(
      argv, AllOf(Contains("StrictHostKeyChecking=accept-new"), Contains("2222"), Contains("/k")));
}

TEST(ProbeAnswer, IsReadBack) {
  setenv("SSH_CONNECTION", "fd00::1 5000 fd00::2 22", 1);
  const auto answer = ParseProbeAnswer(ProbeAnswer());
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->version, kVersion);
  EXPECT_EQ(answer->our_address, "fd00::1");
  unsetenv("SSH_CONNECTION");
  EXPECT_EQ(ParseProbeAnswer(ProbeAnswer())->our_address, "");
  EXPECT_FALSE(ParseProbeAnswer("hello").ok());
}

TEST(JudgeProbes, AnswersComeInTheOrderOfHosts) {
  const auto answers = JudgeProbes({}, {"a", "b"}, "x", std::vector<CommandResult>{Good(), Good()});
  ASSERT_TRUE(answers.ok()) << answers.status();
  EXPECT_EQ((*answers)[1].our_address, "10.0.0.1");
}

TEST(JudgeProbes, AllFailingHostsAtOnceWithSshsOwnWords) {
  CommandResult silent = Result(137, "", "");
  silent.timed_out = true;
  silent.elapsed = absl::Seconds(30);
  const absl::Status status =
      Judged({"localhost", "b", "c.invalid"},
             {Result(255, "", "ssh: connect to host localhost port 2222: Connection refused\r\n"),
              Good(), silent});
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(
      std::string(status.message()),
      AllOf(HasSubstr("SL1001 cannot reach 2 of 3 hosts by ssh"), HasSubstr("127.0.0.1 port 2222"),
            HasSubstr("Connection refused"), HasSubstr("Try: ssh -p 2222 localhost true"),
            HasSubstr("c.invalid (no address"), HasSubstr("no answer after 30s")));
}

TEST(JudgeProbes, AMissingKeyIsAMatterOfPermission) {
  const absl::Status status = Judged(
      {"a", "b"},
      {Result(255, "", "root@a: Permission denied (publickey,password).\n"),
       Result(255, "", "No ED25519 host key is known for b\nHost key verification failed.\n")});
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("SL1002 a"), HasSubstr("root@a: Permission denied"),
                    HasSubstr("-i FILE"), HasSubstr("--ssh-accept-new")));
}

TEST(JudgeProbes, AnotherVersionOrNoProgramNamesTheHost) {
  const absl::Status status =
      Judged({"a", "b", "c"}, {Result(0, "sluice-probe 9.9 10.0.0.1\n", ""),
                               Result(127, "", "sh: /opt/orchestrator: not found\n"), Good()});
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("SL1030 2 of 3 hosts"), HasSubstr("a: sluice 9.9"),
                    HasSubstr("b: sh: /opt/orchestrator: not found")));
}

TEST(RunAll, RunsAtOnceAndKillsWhatIsLate) {
  std::vector<ChildSpec> specs(3);
  for (ChildSpec& spec : specs) spec.argv = {"/bin/sh", "-c", ""};
  specs[0].argv[2] = "echo out; echo err >&2; exit 3";
  specs[1].argv[2] = "sleep 1000";
  specs[2].argv = {"/no/such/program"};
  const absl::Time begin = absl::Now();
  const std::vector<CommandResult> results = RunAll(specs, absl::Milliseconds(300));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(30));
  EXPECT_EQ(results[0].exit_code, 3);
  EXPECT_EQ(results[0].out, "out\n");
  EXPECT_EQ(results[0].err, "err\n");
  EXPECT_TRUE(results[1].timed_out);
  EXPECT_EQ(results[2].exit_code, 127);
}

TEST(RunAll, OutputIsBounded) {
  std::vector<ChildSpec> specs(1);
  specs[0].argv = {"/bin/sh", "-c", "head -c 1000000 /dev/zero"};
  EXPECT_EQ(RunAll(specs, absl::Seconds(30))[0].out.size(), kMostOutputBytes);
}

}  // namespace
}  // namespace sluice
