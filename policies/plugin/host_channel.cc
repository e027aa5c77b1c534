#include "policies/plugin/host_channel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"

namespace sluice {
namespace {

/// Far above any window's statistics: what is longer is no message of ours.
constexpr uint32_t kMostBytes = 256u << 20;

absl::Status Gone(const char* what) {
  return absl::UnavailableError(absl::StrCat(what, ": ", std::strerror(errno)));
}

}  // namespace

HostChannel::HostChannel(int fd) : fd_(fd) {
  fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) | O_NONBLOCK);
  fcntl(fd_, F_SETFD, FD_CLOEXEC);
}

HostChannel& HostChannel::operator=(HostChannel&& other) {
  std::swap(fd_, other.fd_);
  return *this;
}

void HostChannel::Close() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

absl::Status HostChannel::Wait(short events, absl::Time deadline) {
  while (true) {
    int milliseconds = -1;
    if (deadline != absl::InfiniteFuture()) {
      const absl::Duration left = deadline - absl::Now();
      if (left <= absl::ZeroDuration()) return absl::DeadlineExceededError("no answer in time");
      milliseconds = static_cast<int>(
          std::min<int64_t>(absl::ToInt64Milliseconds(left) + 1, std::numeric_limits<int>::max()));
    }
    pollfd one = {fd_, events, 0};
    if (poll(&one, 1, milliseconds) > 0) return absl::OkStatus();
  }
}

absl::Status HostChannel::SendBytes(const char* bytes, size_t size, absl::Time deadline) {
  while (size > 0) {
    const ssize_t sent = send(fd_, bytes, size, MSG_NOSIGNAL);
    if (sent >= 0) {
      bytes += sent;
      size -= static_cast<size_t>(sent);
    } else if (errno == EAGAIN) {
      SLUICE_RETURN_IF_ERROR(Wait(POLLOUT, deadline));
    } else if (errno != EINTR) {
      return Gone("send");
    }
  }
  return absl::OkStatus();
}

absl::Status HostChannel::ReceiveBytes(char* bytes, size_t size, absl::Time deadline) {
  while (size > 0) {
    const ssize_t received = recv(fd_, bytes, size, 0);
    if (received == 0) return absl::UnavailableError("the other end is gone");
    if (received > 0) {
      bytes += received;
      size -= static_cast<size_t>(received);
    } else if (errno == EAGAIN) {
      SLUICE_RETURN_IF_ERROR(Wait(POLLIN, deadline));
    } else if (errno != EINTR) {
      return Gone("receive");
    }
  }
  return absl::OkStatus();
}

absl::Status HostChannel::Send(const google::protobuf::MessageLite& message, absl::Time deadline) {
  const std::string bytes = message.SerializeAsString();
  const uint32_t size = static_cast<uint32_t>(bytes.size());
  char length[sizeof(size)];
  std::memcpy(length, &size, sizeof(size));
  SLUICE_RETURN_IF_ERROR(SendBytes(length, sizeof(length), deadline));
  return SendBytes(bytes.data(), bytes.size(), deadline);
}

absl::Status HostChannel::Receive(google::protobuf::MessageLite& message, absl::Time deadline) {
  uint32_t size = 0;
  char length[sizeof(size)];
  SLUICE_RETURN_IF_ERROR(ReceiveBytes(length, sizeof(length), deadline));
  std::memcpy(&size, length, sizeof(size));
  if (size > kMostBytes) return absl::DataLossError(absl::StrCat("a message of ", size, " bytes"));
  std::string bytes(size, '\0');
  SLUICE_RETURN_IF_ERROR(ReceiveBytes(bytes.data(), size, deadline));
  if (!message.ParseFromString(bytes)) return absl::DataLossError("not a message");
  return absl::OkStatus();
}

}  // namespace sluice
