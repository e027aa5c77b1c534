#pragma once

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice {

/// One end of a connection between the process that the user started and one of its ranks: texts,
/// each whole. Closes the descriptor. \threadsafety one thread
class AllReducePipe {
 public:
  /// Two connected ends; both are closed in programs that are executed.
  static absl::StatusOr<std::pair<AllReducePipe, AllReducePipe>> CreatePair();

  /// Takes `fd`, a stream socket.
  explicit AllReducePipe(int fd) : fd_(fd) {}
  AllReducePipe(AllReducePipe&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  AllReducePipe& operator=(AllReducePipe&&) = delete;
  ~AllReducePipe();

  /// \error kUnavailable  the other end is closed
  absl::Status Write(absl::string_view text);
  /// Waits for a text. \error kUnavailable  the other end is closed
  absl::StatusOr<std::string> Read();

  int fd() const { return fd_; }

 private:
  int fd_;
};

}  // namespace sluice
