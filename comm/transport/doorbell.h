#pragma once

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace sluice {

/// Wakes a thread that sleeps on a file descriptor. Rings until it is heard.
class Doorbell {
 public:
  /// \error kResourceExhausted  no file descriptor left
  static absl::StatusOr<Doorbell> Create();
  Doorbell(Doorbell&& other) noexcept;
  Doorbell& operator=(Doorbell&&) = delete;
  ~Doorbell();

  /// \threadsafety any thread
  void Ring();

  /// Sleeps until `fd` is readable, the bell is rung (which silences it), `deadline` passes or a
  /// signal arrives.
  void SleepOn(int fd, absl::Time deadline) const;

 private:
  explicit Doorbell(int event_fd) : event_fd_(event_fd) {}

  int event_fd_;
};

}  // namespace sluice
