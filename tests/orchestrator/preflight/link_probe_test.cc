#include "orchestrator/preflight/link_probe.h"

#include <fcntl.h>
#include <unistd.h>

#include <thread>

#include "absl/time/clock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

const std::string kToken(kTokenBytes, 'a');

absl::Time Soon() { return absl::Now() + absl::Seconds(20); }

// Serves on a thread until it is destroyed.
class Server {
 public:
  Server() : listener_(*LinkListener::Listen("127.0.0.1")) {
    if (pipe2(ends_, O_CLOEXEC) != 0) abort();
    thread_ = std::thread([this] { listener_.Serve(kToken, ends_[0], Soon()); });
  }
  ~Server() {
    close(ends_[1]);  // what the request after it would do
    thread_.join();
    close(ends_[0]);
  }
  int port() const { return listener_.port(); }

 private:
  LinkListener listener_;
  int ends_[2];
  std::thread thread_;
};

TEST(MeasureLink, GivesLatencyAndBothSpeeds) {
  const Server server;
  const auto numbers =
      MeasureLink("127.0.0.1", server.port(), kToken, absl::Milliseconds(50), Soon());
  ASSERT_TRUE(numbers.ok()) << numbers.status();
  EXPECT_GT(numbers->latency, absl::ZeroDuration());
  EXPECT_GT(numbers->to_listener, 1e6);
  EXPECT_GT(numbers->from_listener, 1e6);
}

TEST(MeasureLink, MeasuresNoSpeedUnlessAsked) {
  const Server server;
  const auto numbers =
      MeasureLink("127.0.0.1", server.port(), kToken, absl::ZeroDuration(), Soon());
  ASSERT_TRUE(numbers.ok()) << numbers.status();
  EXPECT_EQ(numbers->to_listener, 0);
}

TEST(MeasureLink, AStrangerIsTurnedAwayAndTakesNobodysTurn) {
  const Server server;
  const std::string other(kTokenBytes, 'b');
  EXPECT_FALSE(MeasureLink("127.0.0.1", server.port(), other, absl::ZeroDuration(), Soon()).ok());
  EXPECT_TRUE(MeasureLink("127.0.0.1", server.port(), kToken, absl::ZeroDuration(), Soon()).ok());
}

TEST(MeasureLink, SaysWhatTheSystemSays) {
  const int port = LinkListener::Listen("127.0.0.1")->port();  // closed by now
  const auto numbers = MeasureLink("127.0.0.1", port, kToken, absl::ZeroDuration(), Soon());
  EXPECT_EQ(numbers.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(numbers.status().message(), "Connection refused");
  EXPECT_FALSE(MeasureLink("no address", 1, kToken, absl::ZeroDuration(), Soon()).ok());
}

TEST(LinkListener, IsNotOnAnAddressOfAnotherMachine) {
  EXPECT_EQ(LinkListener::Listen("203.0.113.1").status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace sluice
