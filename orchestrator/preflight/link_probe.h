#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace sluice {

/// A few tenths of a second of one TCP connection between two hosts. Who connects proves first that it knows the token,
/// then sends commands of one byte.

/// A listening socket on a port that the system chose.
class LinkListener {
 public:
  /// \error kUnavailable  with the system's reason
  static absl::StatusOr<LinkListener> Listen(const std::string& address);

  LinkListener(LinkListener&& other) : fd_(other.fd_), port_(other.port_) { other.fd_ = -1; }
  LinkListener& operator=(LinkListener&&) = delete;
  ~LinkListener();

  int port() const { return port_; }

  /// Serves until somebody who knows `token` has come and gone, `deadline`, or `other_fd` can be read.
  void Serve(const std::string& token, int other_fd, absl::Time deadline);

 private:
  LinkListener(int fd, int port) : fd_(fd), port_(port) {}
  int fd_;
  int port_;
};

struct LinkNumbers {
  absl::Duration latency;                     ///< half of the median round trip
  double to_listener = 0, from_listener = 0;  ///< bytes per second; 0 if `each_way` is
};

/// Connects, and measures the latency; and for `each_way` the bandwidth in each direction.
/// \error kUnavailable      refused or unreachable: the system's words
/// \error kDeadlineExceeded no answer
absl::StatusOr<LinkNumbers> MeasureLink(const std::string& address, int port,
                                        const std::string& token, absl::Duration each_way,
                                        absl::Time deadline);

inline constexpr size_t kTokenBytes = 32;  ///< of a token: printable

}  // namespace sluice
