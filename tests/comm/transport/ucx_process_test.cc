// Peers in processes of their own that die or freeze. The children are this binary again, started
// before they have touched UCX: a process that has used UCX must not be forked.

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "comm/transport/ucx_transport.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

extern char** environ;

namespace sluice {
namespace {

using ::testing::HasSubstr;

constexpr MessageTag kMeet = 1;
constexpr MessageTag kLarge = 2;
constexpr size_t kLargeBytes = 64 << 20;

// Strings over a pipe, length first.
void WriteText(int fd, const std::string& text) {
  const size_t length = text.size();
  if (write(fd, &length, sizeof length) != sizeof length) std::abort();
  if (write(fd, text.data(), length) != static_cast<ssize_t>(length)) std::abort();
}

std::string ReadText(int fd) {
  size_t length = 0;
  if (read(fd, &length, sizeof length) != sizeof length) std::abort();
  std::string text(length, '\0');
  for (size_t got = 0; got < length;) {
    const ssize_t n = read(fd, &text[got], length - got);
    if (n <= 0) std::abort();
    got += static_cast<size_t>(n);
  }
  return text;
}

// Large messages in both directions: from then on the connection is complete (docs/transport.md).
absl::Status Meet(Transport& transport, Rank other) {
  std::vector<std::byte> mine(4 << 20), theirs(mine.size());
  const RequestId receive = transport.Receive(other, kMeet, absl::MakeSpan(theirs));
  const RequestId send = transport.Send(other, kMeet, mine);
  return WaitAll(transport, {receive, send}, absl::Now() + absl::Minutes(1));
}

// Rank 1: says when it is ready, does what `role` says and never ends by itself.
int RunChild(const std::string& transports, const std::string& role, int in, int out) {
  auto seed = UcxEndpointSeed::Create({transports});
  if (!seed.ok()) return 1;
  const std::string address = (*seed)->address();
  WriteText(out, address);
  auto transport = std::move(**seed).Connect(Rank(1), {ReadText(in), address});
  if (!transport.ok()) return 2;
  if (role == "idle" || role == "sender") {
    if (!Meet(**transport, Rank(0)).ok()) return 3;
  }
  WriteText(out, "ready");
  if (role == "quiet") {
    std::vector<std::byte> byte(1);
    while (true) {
      const RequestId receive = (*transport)->Receive(Rank(0), kMeet, absl::MakeSpan(byte));
      if (!(*transport)->Wait(receive, absl::InfiniteFuture()).ok()) return 5;
    }
  }
  if (role == "sender") {
    const std::vector<std::byte> large(kLargeBytes);
    while (true) {
      const RequestId send = (*transport)->Send(Rank(0), kLarge, large);
      if (!(*transport)->Wait(send, absl::InfiniteFuture()).ok()) return 4;
    }
  }
  while (true) pause();
}

class Child {
 public:
  Child(const std::string& transports, const std::string& role) {
    int down[2], up[2];
    if (pipe(down) != 0 || pipe(up) != 0) std::abort();
    const std::string in = std::to_string(down[0]), out = std::to_string(up[1]);
    const char* arguments[] = {"/proc/self/exe", "--child",  transports.c_str(),
                               role.c_str(),     in.c_str(), out.c_str(),
                               nullptr};
    // vfork-like: runs nothing of this process's UCX in the child.
    EXPECT_EQ(posix_spawn(&pid_, "/proc/self/exe", nullptr, nullptr, const_cast<char**>(arguments),
                          environ),
              0);
    close(down[0]);
    close(up[1]);
    to_ = down[1];
    from_ = up[0];
  }
  ~Child() {
    Kill();
    close(to_);
    close(from_);
  }

  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

  // Returns once the process has stopped.
  void Stop() {
    kill(pid_, SIGSTOP);
    int status = 0;
    ASSERT_EQ(waitpid(pid_, &status, WUNTRACED), pid_);
    ASSERT_TRUE(WIFSTOPPED(status));
  }

  int to() const { return to_; }
  int from() const { return from_; }

 private:
  pid_t pid_ = 0;
  int to_ = -1;
  int from_ = -1;
};

class UcxProcessTest : public testing::TestWithParam<const char*> {
 protected:
  // Rank 0 in this process and rank 1 in `child`, connected and, but for a stranger, met.
  std::unique_ptr<Transport> ConnectTo(Child& child, bool stranger = false) {
    auto seed = UcxEndpointSeed::Create({GetParam()});
    EXPECT_TRUE(seed.ok()) << seed.status();
    const std::string address = (*seed)->address();
    const std::string theirs = ReadText(child.from());
    WriteText(child.to(), address);
    auto transport = std::move(**seed).Connect(Rank(0), {address, theirs});
    EXPECT_TRUE(transport.ok()) << transport.status();
    if (!stranger) {
      EXPECT_EQ(Meet(**transport, Rank(1)), absl::OkStatus());
    }
    EXPECT_EQ(ReadText(child.from()), "ready");
    return *std::move(transport);
  }

  static absl::Time Never() { return absl::Now() + absl::Minutes(1); }
};

INSTANTIATE_TEST_SUITE_P(All, UcxProcessTest,
                         testing::Values("tcp,self", "posix,cma,self", "posix,cma,tcp,self"),
                         [](const auto& info) {
                           std::string name = info.param;
                           for (char& c : name) c = c == ',' ? '_' : c;
                           return name;
                         });

TEST_P(UcxProcessTest, KilledPeerEndsAReceiveThatNothingCanMeet) {
  Child child(GetParam(), "idle");
  const auto transport = ConnectTo(child);
  std::vector<std::byte> bytes(64);
  const RequestId receive = transport->Receive(Rank(1), 9, absl::MakeSpan(bytes));
  EXPECT_EQ(transport->Test(receive), std::nullopt);
  child.Kill();
  const absl::Status outcome = transport->Wait(receive, Never());
  EXPECT_EQ(outcome.code(), absl::StatusCode::kUnavailable) << outcome;
  EXPECT_THAT(std::string(outcome.message()), HasSubstr("receive of 64 bytes from rank 1"));
  // From now on at once.
  const RequestId next = transport->Receive(Rank(1), 9, absl::MakeSpan(bytes));
  EXPECT_EQ(transport->Wait(next, Never()).code(), absl::StatusCode::kUnavailable);
  const RequestId send = transport->Send(Rank(1), 9, bytes);
  EXPECT_EQ(transport->Wait(send, Never()).code(), absl::StatusCode::kUnavailable);
}

TEST_P(UcxProcessTest, KilledPeerThatNeverSentAnythingIsNoticed) {
  Child child(GetParam(), "quiet");
  const auto transport = ConnectTo(child, /*stranger=*/true);
  std::vector<std::byte> bytes(64), byte(1);
  EXPECT_EQ(transport->Wait(transport->Send(Rank(1), kMeet, byte), Never()), absl::OkStatus());
  const RequestId receive = transport->Receive(Rank(1), 9, absl::MakeSpan(bytes));
  child.Kill();
  const absl::Status outcome = transport->Wait(receive, Never());
  EXPECT_EQ(outcome.code(), absl::StatusCode::kUnavailable) << outcome;
}

TEST_P(UcxProcessTest, KilledPeerEndsALargeSend) {
  Child child(GetParam(), "idle");
  const auto transport = ConnectTo(child);
  const std::vector<std::byte> large(kLargeBytes);
  const RequestId send = transport->Send(Rank(1), kLarge, large);
  EXPECT_EQ(transport->Test(send), std::nullopt);
  child.Kill();
  const absl::Status outcome = transport->Wait(send, Never());
  EXPECT_EQ(outcome.code(), absl::StatusCode::kUnavailable) << outcome;
}

// Far above what is promised (a second or two), since the machine may be busy; far below "for ever".
constexpr absl::Duration kGenerous = absl::Seconds(30);

TEST_P(UcxProcessTest, PeerKilledAmidTheHandshakeDelaysNothingPastItsDeadline) {
  Child child(GetParam(), "stranger");
  const auto transport = ConnectTo(child, /*stranger=*/true);
  std::vector<std::byte> large(kLargeBytes), bytes(64);
  const RequestId send = transport->Send(Rank(1), kLarge, large);
  const RequestId receive = transport->Receive(Rank(1), 9, absl::MakeSpan(bytes));
  EXPECT_EQ(transport->Test(send), std::nullopt);
  child.Kill();
  const absl::Time deadline = absl::Now() + absl::Milliseconds(500);
  for (RequestId request : {receive, send}) {
    const absl::Status outcome = transport->Wait(request, deadline);
    EXPECT_THAT(outcome.code(),
                testing::AnyOf(absl::StatusCode::kUnavailable, absl::StatusCode::kDeadlineExceeded))
        << outcome;
  }
  EXPECT_LT(absl::Now() - deadline, kGenerous);
}

TEST_P(UcxProcessTest, PeerFrozenAmidTheHandshakeDoesNotKeepThisProcessFromLeaving) {
  Child child(GetParam(), "stranger");
  auto transport = ConnectTo(child, /*stranger=*/true);
  child.Stop();
  const std::vector<std::byte> large(kLargeBytes);
  const RequestId send = transport->Send(Rank(1), kLarge, large);
  const absl::Status outcome = transport->Wait(send, absl::Now() + absl::Milliseconds(20));
  EXPECT_EQ(outcome.code(), absl::StatusCode::kDeadlineExceeded) << outcome;
  const absl::Time leaving = absl::Now();
  transport.reset();
  EXPECT_LT(absl::Now() - leaving, kGenerous);
}

TEST_P(UcxProcessTest, SenderKilledWhileSendingEndsTheReceive) {
  Child child(GetParam(), "sender");
  const auto transport = ConnectTo(child);
  std::vector<std::byte> large(kLargeBytes);
  absl::Status outcome;
  for (int message = 0; outcome.ok(); ++message) {
    const RequestId receive = transport->Receive(Rank(1), kLarge, absl::MakeSpan(large));
    if (message == 2) {
      (void)transport->WaitAny({receive}, absl::Now() + absl::Milliseconds(3));
      child.Kill();
    }
    outcome = transport->Wait(receive, Never());
  }
  EXPECT_EQ(outcome.code(), absl::StatusCode::kUnavailable) << outcome;
}

TEST_P(UcxProcessTest, FrozenPeerEndsAReceiveAtItsDeadline) {
  Child child(GetParam(), "idle");
  const auto transport = ConnectTo(child);
  child.Stop();
  std::vector<std::byte> bytes(64);
  const RequestId receive = transport->Receive(Rank(1), 9, absl::MakeSpan(bytes));
  const absl::Status outcome = transport->Wait(receive, absl::Now() + absl::Milliseconds(300));
  EXPECT_EQ(outcome.code(), absl::StatusCode::kDeadlineExceeded) << outcome;
}

TEST_P(UcxProcessTest, FrozenPeerEndsALargeSendAtItsDeadlineAndFreesItsBuffer) {
  Child child(GetParam(), "idle");
  const auto transport = ConnectTo(child);
  child.Stop();
  {
    const std::vector<std::byte> large(kLargeBytes);
    const RequestId send = transport->Send(Rank(1), kLarge, large);
    const absl::Status outcome = transport->Wait(send, absl::Now() + absl::Milliseconds(50));
    EXPECT_EQ(outcome.code(), absl::StatusCode::kDeadlineExceeded) << outcome;
  }
  // UCX had the message, so the connection had to be given up.
  const std::vector<std::byte> small(8);
  const absl::Status next = transport->Wait(transport->Send(Rank(1), 9, small), Never());
  EXPECT_EQ(next.code(), absl::StatusCode::kUnavailable) << next;
}

TEST_P(UcxProcessTest, SenderFrozenWhileSendingEndsTheReceiveAtItsDeadline) {
  Child child(GetParam(), "sender");
  const auto transport = ConnectTo(child);
  absl::Status outcome;
  for (int message = 0; outcome.ok(); ++message) {
    std::vector<std::byte> large(kLargeBytes);
    const RequestId receive = transport->Receive(Rank(1), kLarge, absl::MakeSpan(large));
    if (message == 2) {
      (void)transport->WaitAny({receive}, absl::Now() + absl::Milliseconds(3));
      child.Stop();
    }
    outcome =
        transport->Wait(receive, message < 2 ? Never() : absl::Now() + absl::Milliseconds(300));
    if (message > 100) break;
  }
  EXPECT_EQ(outcome.code(), absl::StatusCode::kDeadlineExceeded) << outcome;
}

TEST_P(UcxProcessTest, AbortEndsALargeSendToAFrozenPeer) {
  Child child(GetParam(), "idle");
  const auto transport = ConnectTo(child);
  child.Stop();
  const std::vector<std::byte> large(kLargeBytes);
  const RequestId send = transport->Send(Rank(1), kLarge, large);
  transport->Abort("rank 1 is frozen");
  const absl::Status outcome = transport->Wait(send, Never());
  EXPECT_EQ(outcome.code(), absl::StatusCode::kCancelled) << outcome;
  EXPECT_THAT(std::string(outcome.message()), HasSubstr("rank 1 is frozen"));
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  if (argc == 6 && std::strcmp(argv[1], "--child") == 0) {
    return sluice::RunChild(argv[2], argv[3], std::atoi(argv[4]), std::atoi(argv[5]));
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
