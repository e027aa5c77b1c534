#include "orchestrator/preflight/link_probe.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"

namespace sluice {
namespace {

constexpr int kPings = 21;
constexpr size_t kBlockBytes = 256 << 10;
constexpr absl::Duration kPatience = absl::Milliseconds(500);
// Commands. A ping is echoed; after kTake come blocks, and the answer is a double: how many bytes per second;
// after kGive come two bytes with milliseconds, and the answer is blocks for so long. Both sides are the same program,
// so numbers have this machine's order of bytes.
constexpr char kPing = 'p', kTake = 't', kGive = 'g';
constexpr char kMore = 'm', kEnd = 'e';  // before and after a block

struct Socket {
  int fd = -1;
  explicit Socket(int fd) : fd(fd) {}
  Socket(Socket&& other) : fd(other.fd) { other.fd = -1; }
  Socket& operator=(Socket&&) = delete;
  ~Socket() {
    if (fd >= 0) close(fd);
  }
};

std::string Words(int error) { return std::strerror(error); }

// Whether `events` came before the deadline.
bool Wait(int fd, short events, absl::Time deadline) {
  pollfd one = {fd, events, 0};
  while (true) {
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) return false;
    const int n = poll(&one, 1, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1);
    if (n > 0) return true;
    if (n < 0 && errno != EINTR) return false;
  }
}

absl::Status Send(int fd, const char* bytes, size_t size, absl::Time deadline) {
  while (size > 0) {
    const ssize_t n = send(fd, bytes, size, MSG_NOSIGNAL);
    if (n > 0) {
      bytes += n;
      size -= static_cast<size_t>(n);
    } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
      return absl::UnavailableError(Words(errno));
    } else if (!Wait(fd, POLLOUT, deadline)) {
      return absl::DeadlineExceededError("the connection stands still");
    }
  }
  return absl::OkStatus();
}

absl::Status Receive(int fd, char* bytes, size_t size, absl::Time deadline) {
  while (size > 0) {
    const ssize_t n = recv(fd, bytes, size, 0);
    if (n > 0) {
      bytes += n;
      size -= static_cast<size_t>(n);
    } else if (n == 0) {
      return absl::UnavailableError("the other side closed the connection");
    } else if (errno != EAGAIN && errno != EINTR) {
      return absl::UnavailableError(Words(errno));
    } else if (!Wait(fd, POLLIN, deadline)) {
      return absl::DeadlineExceededError("the connection stands still");
    }
  }
  return absl::OkStatus();
}

// Blocks for `duration`, then the end.
absl::Status SendBlocks(int fd, absl::Duration duration, absl::Time deadline) {
  const std::string block = std::string(1, kMore) + std::string(kBlockBytes, '\0');
  const absl::Time end = absl::Now() + duration;
  do {
    SLUICE_RETURN_IF_ERROR(Send(fd, block.data(), block.size(), deadline));
  } while (absl::Now() < end);
  return Send(fd, &kEnd, 1, deadline);
}

// Takes blocks to their end. \return bytes per second from the first on
absl::StatusOr<double> ReceiveBlocks(int fd, absl::Time deadline) {
  std::vector<char> block(kBlockBytes);
  double bytes = 0;
  absl::Time begin = absl::InfiniteFuture();
  while (true) {
    char mark = 0;
    SLUICE_RETURN_IF_ERROR(Receive(fd, &mark, 1, deadline));
    begin = std::min(begin, absl::Now());
    if (mark == kEnd) break;
    SLUICE_RETURN_IF_ERROR(Receive(fd, block.data(), block.size(), deadline));
    bytes += kBlockBytes;
  }
  return bytes / std::max(1e-6, absl::ToDoubleSeconds(absl::Now() - begin));
}

void NoDelay(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

// One client, from its token to its end.
absl::Status ServeOne(int fd, const std::string& token, absl::Time deadline) {
  NoDelay(fd);
  std::string theirs(kTokenBytes, '\0');
  // A stranger gets a moment only, and nobody loses a turn by it.
  const absl::Time patience = std::min(deadline, absl::Now() + kPatience);
  if (!Receive(fd, theirs.data(), theirs.size(), patience).ok() || theirs != token) {
    return absl::UnauthenticatedError("no token, or another one");
  }
  while (true) {
    char command = 0;
    SLUICE_RETURN_IF_ERROR(Receive(fd, &command, 1, deadline));
    if (command == kPing) {
      SLUICE_RETURN_IF_ERROR(Send(fd, &command, 1, deadline));
    } else if (command == kTake) {
      SLUICE_ASSIGN_OR_RETURN(const double speed, ReceiveBlocks(fd, deadline));
      SLUICE_RETURN_IF_ERROR(
          Send(fd, reinterpret_cast<const char*>(&speed), sizeof(speed), deadline));
    } else if (command == kGive) {
      uint16_t milliseconds = 0;
      SLUICE_RETURN_IF_ERROR(
          Receive(fd, reinterpret_cast<char*>(&milliseconds), sizeof(milliseconds), deadline));
      SLUICE_RETURN_IF_ERROR(SendBlocks(fd, absl::Milliseconds(milliseconds), deadline));
    } else {
      return absl::InvalidArgumentError("unknown command");
    }
  }
}

using AddressList = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

absl::StatusOr<AddressList> Numeric(const std::string& address, int port) {
  addrinfo hints = {};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(address.c_str(), absl::StrCat(port).c_str(), &hints, &found);
  if (error != 0) {
    return absl::UnavailableError(absl::StrCat(address, ": ", gai_strerror(error)));
  }
  return AddressList(found, &freeaddrinfo);
}

absl::Status Connect(int fd, const addrinfo& address, absl::Time deadline) {
  if (connect(fd, address.ai_addr, address.ai_addrlen) == 0) return absl::OkStatus();
  if (errno != EINPROGRESS) return absl::UnavailableError(Words(errno));
  if (!Wait(fd, POLLOUT, deadline)) return absl::DeadlineExceededError("connection timed out");
  int error = 0;
  socklen_t size = sizeof(error);
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  return error == 0 ? absl::OkStatus() : absl::UnavailableError(Words(error));
}

}  // namespace

absl::StatusOr<LinkListener> LinkListener::Listen(const std::string& address) {
  SLUICE_ASSIGN_OR_RETURN(const AddressList list, Numeric(address, 0));
  Socket one(socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_storage own = {};
  socklen_t size = sizeof(own);
  if (one.fd < 0 || bind(one.fd, list->ai_addr, list->ai_addrlen) != 0 || listen(one.fd, 8) != 0 ||
      getsockname(one.fd, reinterpret_cast<sockaddr*>(&own), &size) != 0) {
    return absl::UnavailableError(absl::StrCat("cannot listen on ", address, ": ", Words(errno)));
  }
  const uint16_t port = own.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&own)->sin6_port
                                                  : reinterpret_cast<sockaddr_in*>(&own)->sin_port;
  const int fd = one.fd;
  one.fd = -1;
  return LinkListener(fd, ntohs(port));
}

LinkListener::~LinkListener() {
  if (fd_ >= 0) close(fd_);
}

void LinkListener::Serve(const std::string& token, int other_fd, absl::Time deadline) {
  while (true) {
    pollfd fds[] = {{fd_, POLLIN, 0}, {other_fd, POLLIN, 0}};
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) return;
    const int n = poll(fds, 2, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1);
    if (n < 0 && errno != EINTR) return;
    if (n <= 0) continue;
    if (fds[0].revents == 0) return;  // the other one
    const Socket client(accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (client.fd < 0) continue;
    if (!absl::IsUnauthenticated(ServeOne(client.fd, token, deadline))) return;
  }
}

absl::StatusOr<LinkNumbers> MeasureLink(const std::string& address, int port,
                                        const std::string& token, absl::Duration each_way,
                                        absl::Time deadline) {
  SLUICE_ASSIGN_OR_RETURN(const AddressList list, Numeric(address, port));
  const Socket one(socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (one.fd < 0) return absl::UnavailableError(Words(errno));
  SLUICE_RETURN_IF_ERROR(Connect(one.fd, *list, deadline));
  NoDelay(one.fd);
  SLUICE_RETURN_IF_ERROR(Send(one.fd, token.data(), token.size(), deadline));
  std::vector<absl::Duration> trips;
  for (int i = 0; i < kPings; ++i) {
    const absl::Time begin = absl::Now();
    char echo = kPing;
    SLUICE_RETURN_IF_ERROR(Send(one.fd, &echo, 1, deadline));
    SLUICE_RETURN_IF_ERROR(Receive(one.fd, &echo, 1, deadline));
    trips.push_back(absl::Now() - begin);
  }
  std::sort(trips.begin(), trips.end());
  LinkNumbers numbers;
  numbers.latency = trips[trips.size() / 2] / 2;
  if (each_way <= absl::ZeroDuration()) return numbers;
  SLUICE_RETURN_IF_ERROR(Send(one.fd, &kTake, 1, deadline));
  SLUICE_RETURN_IF_ERROR(SendBlocks(one.fd, each_way, deadline));
  // Measured where they arrive: here they only leave into buffers.
  SLUICE_RETURN_IF_ERROR(Receive(one.fd, reinterpret_cast<char*>(&numbers.to_listener),
                                 sizeof(numbers.to_listener), deadline));
  const auto milliseconds =
      static_cast<uint16_t>(std::min<int64_t>(absl::ToInt64Milliseconds(each_way), 10000));
  SLUICE_RETURN_IF_ERROR(Send(one.fd, &kGive, 1, deadline));
  SLUICE_RETURN_IF_ERROR(
      Send(one.fd, reinterpret_cast<const char*>(&milliseconds), sizeof(milliseconds), deadline));
  SLUICE_ASSIGN_OR_RETURN(numbers.from_listener, ReceiveBlocks(one.fd, deadline));
  return numbers;
}

}  // namespace sluice
