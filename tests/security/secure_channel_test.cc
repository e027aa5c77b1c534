#include "security/secure_channel.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <utility>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "security/connection_gate.h"
#include "security/credentials.h"
#include "security/keyed_hash.h"
#include "security/refusal_log.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

std::shared_ptr<const SecureContext> ContextOf(const Credentials& credentials,
                                               const std::string& job_id = "7f3a") {
  return *SecureContext::Create(credentials, job_id);
}

struct Sockets {
  int client = -1, server = -1;
  Sockets() {
    signal(SIGPIPE, SIG_IGN);
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    client = ends[0];
    server = ends[1];
  }
  ~Sockets() {
    close(client);
    close(server);
  }
};

struct Pair {
  std::unique_ptr<SecureChannel> client, server;
  absl::Status client_status, server_status;
};

// Both sides in turn, until each is open or has failed.
Pair Meet(const Sockets& sockets, std::shared_ptr<const SecureContext> client,
          std::shared_ptr<const SecureContext> server) {
  Pair pair;
  pair.client =
      std::make_unique<SecureChannel>(client, SecureChannel::Side::kClient, sockets.client);
  pair.server =
      std::make_unique<SecureChannel>(server, SecureChannel::Side::kServer, sockets.server);
  bool client_over = false, server_over = false;
  const auto advance = [](SecureChannel& channel, absl::Status* status, int fd) {
    const auto events = channel.Advance();
    *status = events.status();
    if (!events.ok()) shutdown(fd, SHUT_WR);
    return !events.ok() || *events == 0;
  };
  for (int turn = 0; turn < 100 && !(client_over && server_over); ++turn) {
    if (!client_over) client_over = advance(*pair.client, &pair.client_status, sockets.client);
    if (!server_over) server_over = advance(*pair.server, &pair.server_status, sockets.server);
  }
  EXPECT_TRUE(client_over && server_over) << "they wait for each other";
  return pair;
}

TEST(SecureChannelTest, MembersOfOneJobMeetAndTalk) {
  const Credentials credentials = MakeCredentials(absl::Now(), kJobValidity);
  const Sockets sockets;
  const Pair pair = Meet(sockets, ContextOf(credentials), ContextOf(credentials));
  ASSERT_TRUE(pair.client_status.ok()) << pair.client_status;
  ASSERT_TRUE(pair.server_status.ok()) << pair.server_status;
  size_t done = 0;
  char buffer[16] = {};
  EXPECT_EQ(pair.server->Read(buffer, sizeof(buffer), &done), SecureChannel::Outcome::kAgain);
  ASSERT_EQ(pair.client->Write("hello", 5, &done), SecureChannel::Outcome::kDone);
  ASSERT_EQ(pair.server->Read(buffer, 2, &done), SecureChannel::Outcome::kDone);
  EXPECT_EQ(pair.server->pending(), 3u);
  ASSERT_EQ(pair.server->Read(buffer + 2, 14, &done), SecureChannel::Outcome::kDone);
  EXPECT_EQ(std::string(buffer), "hello");
  shutdown(sockets.client, SHUT_RDWR);
  EXPECT_EQ(pair.server->Read(buffer, 1, &done), SecureChannel::Outcome::kClosed);
}

TEST(SecureChannelTest, AnotherAuthorityIsRefusedOnBothSides) {
  const Sockets sockets;
  const Pair pair = Meet(sockets, ContextOf(MakeCredentials(absl::Now(), kJobValidity)),
                         ContextOf(MakeCredentials(absl::Now(), kJobValidity)));
  EXPECT_EQ(pair.client_status.code(), absl::StatusCode::kUnauthenticated) << pair.client_status;
  EXPECT_FALSE(pair.server_status.ok());
}

TEST(SecureChannelTest, AnotherTokenIsRefusedOnBothSides) {
  const Credentials credentials = MakeCredentials(absl::Now(), kJobValidity);
  Credentials other = credentials;
  other.token = RandomBytes(kKeyBytes);
  const Sockets sockets;
  const Pair pair = Meet(sockets, ContextOf(other), ContextOf(credentials));
  EXPECT_EQ(pair.client_status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(std::string(pair.client_status.message()), HasSubstr("token of this process"));
  EXPECT_EQ(pair.server_status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(std::string(pair.server_status.message()), HasSubstr("does not know the token"));
}

TEST(SecureChannelTest, AnotherJobIsNamedOnBothSides) {
  const Credentials credentials = MakeCredentials(absl::Now(), kJobValidity);
  const Sockets sockets;
  const Pair pair = Meet(sockets, ContextOf(credentials, "beef"), ContextOf(credentials, "7f3a"));
  for (const absl::Status& status : {pair.client_status, pair.server_status}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("beef"));
    EXPECT_THAT(std::string(status.message()), HasSubstr("7f3a"));
  }
}

TEST(SecureChannelTest, ExpiredCertificatesAreRefused) {
  const Credentials old = MakeCredentials(absl::Now() - absl::Hours(48), absl::Hours(1));
  const Sockets sockets;
  const Pair pair = Meet(sockets, ContextOf(old), ContextOf(old));
  EXPECT_THAT(std::string(pair.client_status.message()), HasSubstr("certificate verify failed"));
}

TEST(SecureChannelTest, GarbageIsRefused) {
  const Credentials credentials = MakeCredentials(absl::Now(), kJobValidity);
  for (const std::string& garbage :
       {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(1000, '\xff'), RandomBytes(4096)}) {
    const Sockets sockets;
    SecureChannel server(ContextOf(credentials), SecureChannel::Side::kServer, sockets.server);
    ASSERT_EQ(write(sockets.client, garbage.data(), garbage.size()),
              static_cast<ssize_t>(garbage.size()));
    shutdown(sockets.client, SHUT_WR);
    EXPECT_FALSE(server.Advance().ok());
  }
}

// OpenSSL keeps errors per thread, and takes an old one for the next connection's.
TEST(SecureChannelTest, AFailedConnectionDoesNotHarmAnOpenOne) {
  const Credentials credentials = MakeCredentials(absl::Now(), kJobValidity);
  const Sockets good, bad;
  const Pair pair = Meet(good, ContextOf(credentials), ContextOf(credentials));
  ASSERT_TRUE(pair.server_status.ok());
  SecureChannel stranger(ContextOf(credentials), SecureChannel::Side::kServer, bad.server);
  ASSERT_EQ(write(bad.client, "garbage garbage", 15), 15);
  EXPECT_FALSE(stranger.Advance().ok());
  size_t done = 0;
  char buffer[4];
  EXPECT_EQ(pair.server->Read(buffer, sizeof(buffer), &done), SecureChannel::Outcome::kAgain);
}

TEST(SecureContextTest, IncompleteCredentialsAreRefused) {
  for (std::string Credentials::*part : {&Credentials::authority, &Credentials::certificate,
                                         &Credentials::private_key, &Credentials::token}) {
    Credentials credentials = MakeCredentials(absl::Now(), kJobValidity);
    (credentials.*part).clear();
    EXPECT_EQ(SecureContext::Create(credentials, "7f3a").status().code(),
              absl::StatusCode::kUnauthenticated);
  }
}

class GateTest : public testing::Test {
 protected:
  bool Closed(int fd, absl::Duration within) {
    const absl::Time deadline = absl::Now() + within;
    pollfd waits = {fd, POLLIN, 0};
    while (absl::Now() < deadline) {
      char byte;
      if (poll(&waits, 1, 20) == 1 && recv(fd, &byte, 1, 0) <= 0) return true;
    }
    return false;
  }
  const Credentials credentials_ = MakeCredentials(absl::Now(), kJobValidity);
};

TEST_F(GateTest, LetsMembersInWhileSilentStrangersWait) {
  Sockets stranger, member;
  absl::Notification opened;
  ConnectionGate gate(ContextOf(credentials_), {}, [&](int fd, std::unique_ptr<SecureChannel>) {
    EXPECT_EQ(fd, member.server);
    opened.Notify();
  });
  gate.Take(dup(stranger.server));
  gate.Take(member.server);
  SecureChannel client(ContextOf(credentials_), SecureChannel::Side::kClient, member.client);
  while (!opened.HasBeenNotified()) {
    ASSERT_TRUE(client.Advance().ok());
    pollfd waits = {member.client, POLLIN, 0};
    poll(&waits, 1, 10);
  }
}

TEST_F(GateTest, ClosesWhoProvesNothingInTimeHoweverBusy) {
  Sockets silent, dribbling;
  ConnectionGate::Options options;
  options.handshake = absl::Milliseconds(200);
  ConnectionGate gate(ContextOf(credentials_), options, [](int, std::unique_ptr<SecureChannel>) {
    ADD_FAILURE() << "a stranger was let in";
  });
  gate.Take(std::exchange(silent.server, -1));
  gate.Take(std::exchange(dribbling.server, -1));
  // The head of a TLS record of 16384 bytes, then a byte at a time.
  ASSERT_EQ(write(dribbling.client, "\x16\x03\x01\x40\x00", 5), 5);
  bool closed = false;
  for (int i = 0; i < 1000 && !closed; ++i) {
    closed = write(dribbling.client, "x", 1) != 1;
    absl::SleepFor(absl::Milliseconds(10));
  }
  EXPECT_TRUE(closed);
  EXPECT_TRUE(Closed(silent.client, absl::Seconds(10)));
}

TEST_F(GateTest, ClosesTheOldestWhenTooManyWait) {
  ConnectionGate::Options options;
  options.most_waiting = 2;
  options.handshake = absl::Hours(1);
  ConnectionGate gate(ContextOf(credentials_), options, [](int, std::unique_ptr<SecureChannel>) {});
  Sockets waiting[3];
  for (Sockets& sockets : waiting) gate.Take(std::exchange(sockets.server, -1));
  EXPECT_TRUE(Closed(waiting[0].client, absl::Seconds(10)));
  EXPECT_FALSE(Closed(waiting[2].client, absl::Milliseconds(50)));
}

TEST(RefusalLogTest, ABurstThenOneLineAPeriodThatCountsTheRest) {
  RefusalLog log;
  absl::Time now = absl::UnixEpoch();
  int lines = 0;
  for (int i = 0; i < 1000; ++i) lines += log.Add("no", now).has_value() ? 1 : 0;
  EXPECT_EQ(lines, RefusalLog::kBurst);
  now += RefusalLog::kPeriod;
  EXPECT_EQ(log.Add("no", now), "no (and 990 more)");
  EXPECT_EQ(log.Add("no", now), std::nullopt);
  EXPECT_EQ(log.left_out(), 1);
}

}  // namespace
}  // namespace sluice
