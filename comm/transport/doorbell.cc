#include "comm/transport/doorbell.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace sluice {

absl::StatusOr<Doorbell> Doorbell::Create() {
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("eventfd: ", std::strerror(errno), "; see `ulimit -n`"));
  }
  return Doorbell(fd);
}

Doorbell::Doorbell(Doorbell&& other) noexcept : event_fd_(std::exchange(other.event_fd_, -1)) {}

Doorbell::~Doorbell() {
  if (event_fd_ >= 0) close(event_fd_);
}

void Doorbell::Ring() {
  const uint64_t one = 1;
  // Fails only when the counter is full, and then it rings anyway.
  (void)!write(event_fd_, &one, sizeof one);
}

void Doorbell::SleepOn(int fd, absl::Time deadline) const {
  pollfd watched[] = {{fd, POLLIN, 0}, {event_fd_, POLLIN, 0}};
  const absl::Duration left = std::max(deadline - absl::Now(), absl::ZeroDuration());
  const timespec timeout = absl::ToTimespec(left);
  ppoll(watched, 2, left == absl::InfiniteDuration() ? nullptr : &timeout, nullptr);
  uint64_t rings;
  if (watched[1].revents != 0) (void)!read(event_fd_, &rings, sizeof rings);
}

}  // namespace sluice
