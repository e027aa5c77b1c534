#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "google/protobuf/message_lite.h"

namespace sluice {

/// One end of the stream socket between a coordinator and its policy host. A message is its length (four bytes,
/// this machine's order: both ends are on it) and its bytes. \threadsafety one thread at a time
class HostChannel {
 public:
  /// \param fd  taken over; becomes non-blocking
  explicit HostChannel(int fd);
  HostChannel(HostChannel&& other) : fd_(std::exchange(other.fd_, -1)) {}
  HostChannel& operator=(HostChannel&& other);
  ~HostChannel() { Close(); }

  /// \error kUnavailable       the other end is gone
  /// \error kDeadlineExceeded  it takes nothing
  absl::Status Send(const google::protobuf::MessageLite& message, absl::Time deadline);
  /// \error kUnavailable       the other end is gone
  /// \error kDeadlineExceeded  no whole message came
  /// \error kDataLoss          what came is no such message
  absl::Status Receive(google::protobuf::MessageLite& message, absl::Time deadline);

  void Close();

 private:
  absl::Status SendBytes(const char* bytes, size_t size, absl::Time deadline);
  absl::Status ReceiveBytes(char* bytes, size_t size, absl::Time deadline);
  absl::Status Wait(short events, absl::Time deadline);

  int fd_;
};

}  // namespace sluice
