#include "orchestrator/launcher/remote_start.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <iterator>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

proto::RemoteStart Shell(const std::string& script) {
  proto::RemoteStart start;
  for (const char* word : {"/bin/sh", "-c"}) start.add_argv(word);
  start.add_argv(script);
  start.set_directory("/");
  return start;
}

// remote-exec in a process of its own, with pipes in place of ssh.
class RemoteExec {
 public:
  RemoteExec() {
    EXPECT_EQ(pipe(in_), 0);
    EXPECT_EQ(pipe(out_), 0);
    pid_ = fork();
    if (pid_ != 0) {
      close(in_[0]);
      close(out_[1]);
      return;
    }
    dup2(in_[0], STDIN_FILENO);
    dup2(out_[1], STDOUT_FILENO);
    dup2(out_[1], STDERR_FILENO);
    for (int fd : {in_[0], in_[1], out_[0], out_[1]}) close(fd);
    _exit(RunRemoteExec());
  }
  ~RemoteExec() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    CloseInput();
    close(out_[0]);
  }

  void Send(const proto::RemoteStart& start) {
    auto bytes = EncodeRemoteStart(start);
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    ASSERT_EQ(write(in_[1], bytes->data(), bytes->size()), static_cast<ssize_t>(bytes->size()));
  }
  void SendRaw(const std::string& text) {
    ASSERT_EQ(write(in_[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void CloseInput() {
    if (in_[1] >= 0) close(in_[1]);
    in_[1] = -1;
  }
  std::string ReadLine() {
    std::string line;
    char c;
    while (read(out_[0], &c, 1) == 1 && c != '\n') line += c;
    return line;
  }
  int Wait() {
    int status = 0;
    waitpid(pid_, &status, 0);
    return ExitCodeOf(status);
  }
  pid_t pid() const { return pid_; }

 private:
  int in_[2], out_[2];
  pid_t pid_ = -1;
};

bool Gone(pid_t pid) {
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  while (absl::Now() < deadline) {
    if (kill(pid, 0) != 0 && errno == ESRCH) return true;
    absl::SleepFor(absl::Milliseconds(10));
  }
  return false;
}

pid_t PidOf(const std::string& line) {
  int pid = 0;
  EXPECT_TRUE(absl::SimpleAtoi(line, &pid)) << line;
  return pid;
}

TEST(RemoteStart, DecodeInvertsEncode) {
  proto::RemoteStart start = Shell("true");
  (*start.mutable_environment())["A"] = "b";
  start.set_stdin_text(std::string("s\0t", 3));
  const auto bytes = EncodeRemoteStart(start);
  ASSERT_TRUE(bytes.ok());
  const auto again = DecodeRemoteStart(*bytes);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->stdin_text(), start.stdin_text());
  EXPECT_EQ(again->environment().at("A"), "b");
}

TEST(RemoteStart, EveryTruncationIsDataLoss) {
  const std::string bytes = *EncodeRemoteStart(Shell("true"));
  for (size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_EQ(DecodeRemoteStart(bytes.substr(0, n)).status().code(), absl::StatusCode::kDataLoss)
        << "kept " << n << " bytes";
  }
}

TEST(RemoteStart, AnAnnouncedLengthIsLimitedBeforeAnythingIsRead) {
  EXPECT_THAT(std::string(DecodeRemoteStart("SLRSffffffff").status().message()),
              HasSubstr("at most"));
}

TEST(RemoteStart, TooMuchForOneMessageSaysWhatToLeaveOut) {
  proto::RemoteStart start = Shell("true");
  (*start.mutable_environment())["A"] = std::string(kStdinBytes, 'x');
  EXPECT_THAT(std::string(EncodeRemoteStart(start).status().message()), HasSubstr("--no-env"));
}

TEST(RemoteExec, StartsWithEnvironmentDirectoryInputAndItsOwnPid) {
  RemoteExec remote;
  proto::RemoteStart start = Shell("read secret; echo \"$PWD $A [$B] $secret $0\"; exit 7");
  start.set_directory("/usr");
  (*start.mutable_environment())["A"] = "it's \"quoted\" $HOME";
  start.add_without("B");
  start.set_stdin_text("over stdin\n");
  setenv("B", "inherited", 1);
  remote.Send(start);
  EXPECT_EQ(remote.ReadLine(),
            absl::StrCat("/usr it's \"quoted\" $HOME [] over stdin --launcher-pid=", remote.pid()));
  EXPECT_EQ(remote.Wait(), 7);
}

TEST(RemoteExec, AKilledChildIs128AndItsSignal) {
  RemoteExec remote;
  remote.Send(Shell("kill -9 $$"));
  EXPECT_EQ(remote.Wait(), 137);
}

TEST(RemoteExec, WhenItsInputEndsTheChildIsEnded) {
  RemoteExec remote;
  remote.Send(Shell("echo $$; exec sleep 1000"));
  const pid_t child = PidOf(remote.ReadLine());
  remote.CloseInput();
  EXPECT_TRUE(Gone(child));
  EXPECT_EQ(remote.Wait(), 143);
}

TEST(RemoteExec, ADeafChildAndItsOwnChildrenAreKilled) {
  RemoteExec remote;
  remote.Send(Shell("trap '' TERM; sleep 1000 & echo $!; while :; do sleep 0.1; done"));
  const pid_t grandchild = PidOf(remote.ReadLine());
  const absl::Time begin = absl::Now();
  remote.CloseInput();
  EXPECT_EQ(remote.Wait(), 137);
  EXPECT_TRUE(Gone(grandchild));
  EXPECT_GE(absl::Now() - begin, absl::Seconds(kRemoteGraceSeconds) - absl::Milliseconds(100));
}

TEST(RemoteExec, ASignalEndsTheChildAsWell) {
  RemoteExec remote;
  remote.Send(Shell("echo $$; exec sleep 1000"));
  const pid_t child = PidOf(remote.ReadLine());
  kill(remote.pid(), SIGTERM);
  EXPECT_TRUE(Gone(child));
  EXPECT_EQ(remote.Wait(), 143);
}

TEST(RemoteExec, ASignalIsForTheChildAndNotForWhatThatHasStarted) {
  RemoteExec remote;
  // The grandchild is there until the child has said what it got.
  remote.Send(
      Shell("sleep 1000 & inner=$!; trap 'kill -0 $inner && echo alive; exit 6' TERM; echo $inner; "
            "while :; do sleep 0.05; done"));
  const pid_t grandchild = PidOf(remote.ReadLine());
  kill(remote.pid(), SIGTERM);
  EXPECT_EQ(remote.ReadLine(), "alive");
  EXPECT_EQ(remote.Wait(), 6);
  EXPECT_TRUE(Gone(grandchild));
}

TEST(RemoteExec, ALeaveByteBecomesItsSignal) {
  RemoteExec remote;
  remote.Send(Shell("trap 'exit 9' USR2; echo ready; while :; do sleep 0.05; done"));
  EXPECT_EQ(remote.ReadLine(), "ready");
  remote.SendRaw("L");
  EXPECT_EQ(remote.Wait(), 9);
}

TEST(RemoteExec, TheMessageChoosesTheSignalOfAHangup) {
  RemoteExec remote;
  proto::RemoteStart start =
      Shell("trap 'exit 4' HUP; trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done");
  start.set_hangup_signal(SIGHUP);
  remote.Send(start);
  EXPECT_EQ(remote.ReadLine(), "ready");
  remote.CloseInput();
  EXPECT_EQ(remote.Wait(), 4);
}

TEST(RemoteExec, KilledHardItTakesTheChildWithIt) {
  RemoteExec remote;
  remote.Send(Shell("echo $$; exec sleep 1000"));
  const pid_t child = PidOf(remote.ReadLine());
  kill(remote.pid(), SIGKILL);
  EXPECT_TRUE(Gone(child));
}

TEST(RemoteExec, GarbageStartsNothing) {
  RemoteExec remote;
  remote.SendRaw("GET / HTTP/1.0\r\n\r\n");
  remote.CloseInput();
  EXPECT_THAT(remote.ReadLine(), HasSubstr("not by hand"));
  EXPECT_EQ(remote.Wait(), 78);
}

TEST(RemoteExec, AFolderThatTheHostLacksIsNamed) {
  RemoteExec remote;
  proto::RemoteStart start = Shell("true");
  start.set_directory("/no/such/folder");
  remote.Send(start);
  EXPECT_THAT(remote.ReadLine(), HasSubstr("/no/such/folder"));
  EXPECT_EQ(remote.Wait(), 78);
}

TEST(EnsureFile, WritesWithFoldersAndAcceptsItself) {
  const std::string root = absl::StrCat(testing::TempDir(), "/ensure", getpid());
  const std::string path = root + "/a/b/job.yaml";
  ASSERT_TRUE(EnsureFile(path, "name: x\n").ok());
  ASSERT_TRUE(EnsureFile(path, "name: x\n").ok());
  std::ifstream file(path);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), "name: x\n");
  EXPECT_EQ(EnsureFile(path, "name: y\n").code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(EnsureFile("relative", "x").code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace sluice
