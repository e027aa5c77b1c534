#include "comm/transport/listener_guard.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mutex>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ucs/async/async_fwd.h"

namespace sluice {
namespace {

using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr int kSoonMilliseconds = 200;  // for what is not to happen

sockaddr_in Address(const char* text, uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  EXPECT_EQ(inet_pton(AF_INET, text, &address.sin_addr), 1);
  return address;
}

class Socket {
 public:
  explicit Socket(int descriptor) : descriptor_(descriptor) { EXPECT_GE(descriptor, 0); }
  ~Socket() { close(descriptor_); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int get() const { return descriptor_; }

 private:
  const int descriptor_;
};

// Stands for UCX's: listens on 127.0.0.1, accepts on UCX's thread, and its "worker address" has its port.
class Listener {
 public:
  Listener() : before_(ListenerGuard::ListeningSockets()), socket_(Create()) {
    sockaddr_in address = Address("127.0.0.1", 0);
    socklen_t length = sizeof address;
    auto* name = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(bind(socket_.get(), name, length), 0);
    EXPECT_EQ(listen(socket_.get(), 16), 0);
    EXPECT_EQ(getsockname(socket_.get(), name, &length), 0);
    port_ = ntohs(address.sin_port);
    EXPECT_EQ(ucs_async_set_event_handler(UCS_ASYNC_MODE_THREAD_SPINLOCK, socket_.get(),
                                          UCS_EVENT_SET_EVREAD, &Accept, this, nullptr),
              UCS_OK);
  }
  ~Listener() {
    ucs_async_remove_handler(socket_.get(), 1);
    for (const int connection : accepted_) close(connection);
  }

  uint16_t port() const { return port_; }

  ListenerGuard Guard() const {
    return ListenerGuard(
        before_, absl::StrCat("ab", std::string(1, static_cast<char>(port_ >> 8)),
                              std::string(1, static_cast<char>(port_ & 0xff)), "yz"));
  }

  std::vector<int> accepted() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return accepted_;
  }

 private:
  static int Create() { return socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0); }

  static void Accept(int descriptor, ucs_event_set_types_t, void* listener) {
    auto* self = static_cast<Listener*>(listener);
    const std::lock_guard<std::mutex> lock(self->mutex_);
    for (int connection; (connection = accept(descriptor, nullptr, nullptr)) >= 0;) {
      self->accepted_.push_back(connection);
    }
  }

  const std::vector<int> before_;
  const Socket socket_;
  uint16_t port_ = 0;
  std::mutex mutex_;
  std::vector<int> accepted_;
};

// Begins to connect from `source`, without waiting.
int Connect(const char* source, uint16_t port) {
  const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  const sockaddr_in from = Address(source, 0), to = Address("127.0.0.1", port);
  EXPECT_EQ(bind(descriptor, reinterpret_cast<const sockaddr*>(&from), sizeof from), 0);
  connect(descriptor, reinterpret_cast<const sockaddr*>(&to), sizeof to);
  return descriptor;
}

bool Connected(int descriptor) {
  pollfd polled{descriptor, POLLOUT, 0};
  return poll(&polled, 1, kSoonMilliseconds) == 1 && (polled.revents & POLLERR) == 0;
}

// A connection with five bytes on it that has reached the listener's host.
int ConnectAndSend(const char* source, uint16_t port) {
  const int descriptor = Connect(source, port);
  EXPECT_TRUE(Connected(descriptor));
  EXPECT_EQ(send(descriptor, "magic", 5, 0), 5);
  return descriptor;
}

// What UCX would read at once.
ssize_t BytesIn(int connection) {
  char bytes[16];
  return recv(connection, bytes, sizeof bytes, MSG_DONTWAIT);
}

TEST(ListenerGuard, NobodyIsTakenBeforeItIsAsked) {
  Listener listener;
  ListenerGuard guard = listener.Guard();
  guard.Admit({"127.0.0.2"});
  const Socket peer(ConnectAndSend("127.0.0.2", listener.port()));
  usleep(1000 * kSoonMilliseconds);
  EXPECT_THAT(listener.accepted(), IsEmpty());
  guard.TakePeers();
  ASSERT_THAT(listener.accepted(), SizeIs(1));
  EXPECT_EQ(BytesIn(listener.accepted()[0]), 5);
}

TEST(ListenerGuard, StrangersAreClosedAndWhatTheySentIsGone) {
  Listener listener;
  ListenerGuard guard = listener.Guard();
  guard.Admit({"127.0.0.2", "fd00::1"});
  const Socket stranger(ConnectAndSend("127.0.0.3", listener.port()));
  guard.TakePeers();
  ASSERT_THAT(listener.accepted(), SizeIs(1));
  EXPECT_EQ(BytesIn(listener.accepted()[0]), 0);
  (void)send(stranger.get(), "again", 5, MSG_NOSIGNAL);
  EXPECT_LE(BytesIn(listener.accepted()[0]), 0);
}

TEST(ListenerGuard, StrangersWhoHaveGoneLeaveNothing) {
  Listener listener;
  ListenerGuard guard = listener.Guard();
  guard.Admit({"127.0.0.2"});
  {
    const Socket stranger(ConnectAndSend("127.0.0.3", listener.port()));
    const linger at_once{1, 0};
    setsockopt(stranger.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }
  guard.TakePeers();
  for (const int connection : listener.accepted()) EXPECT_LE(BytesIn(connection), 0);
}

TEST(ListenerGuard, StrangersWhoCameBeforeTheGuardArePutOutToo) {
  Listener listener;
  const Socket stranger(ConnectAndSend("127.0.0.3", listener.port()));
  const absl::Time deadline = absl::Now() + absl::Minutes(1);
  while (listener.accepted().empty()) ASSERT_LT(absl::Now(), deadline);
  ListenerGuard guard = listener.Guard();
  guard.Admit({"127.0.0.2"});
  guard.TakePeers();
  EXPECT_EQ(BytesIn(listener.accepted()[0]), 0);
}

TEST(ListenerGuard, ShutTakesNobodyAndLeavesConnectionsAlone) {
  Listener listener;
  ListenerGuard guard = listener.Guard();
  guard.Admit({"127.0.0.2"});
  const Socket peer(ConnectAndSend("127.0.0.2", listener.port()));
  guard.TakePeers();
  guard.Shut();
  const Socket late(Connect("127.0.0.2", listener.port()));
  EXPECT_FALSE(Connected(late.get()));
  ASSERT_THAT(listener.accepted(), SizeIs(1));
  EXPECT_EQ(BytesIn(listener.accepted()[0]), 5);
}

TEST(ListenerGuard, LeavesOtherSocketsAlone) {
  const Listener older;  // listened before UCX's worker was made
  const Listener listener;
  ListenerGuard guard = listener.Guard();
  const Listener of_another_thread;  // its port isn't in the worker's address
  guard.Shut();
  for (const uint16_t port : {older.port(), of_another_thread.port()}) {
    const Socket client(Connect("127.0.0.3", port));
    EXPECT_TRUE(Connected(client.get()));
  }
}

TEST(ListenerGuard, LoopbackIsASourceOnlyWhereASocketIsBoundToIt) {
  EXPECT_THAT(ListenerGuard().Sources(), Not(Contains("127.0.0.1")));
  const Listener listener;
  EXPECT_THAT(listener.Guard().Sources(), Contains("127.0.0.1"));
}

}  // namespace
}  // namespace sluice
