#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "absl/time/time.h"
#include "proto/control.pb.h"

namespace sluice {

/// Sends what a worker is doing, once a period, from a thread that training cannot hold up. The first
/// heartbeat leaves at once. \threadsafety made and destroyed by one thread
class HeartbeatThread {
 public:
  static constexpr absl::Duration kPeriod = absl::Milliseconds(500);

  /// \param read, send  called on the thread; must not block for long
  HeartbeatThread(std::function<proto::Heartbeat()> read,
                  std::function<void(proto::Heartbeat)> send, absl::Duration period = kPeriod);
  /// No call is under way or comes after it.
  ~HeartbeatThread();
  HeartbeatThread(const HeartbeatThread&) = delete;

 private:
  void Run(absl::Duration period);

  const std::function<proto::Heartbeat()> read_;
  const std::function<void(proto::Heartbeat)> send_;
  std::mutex mu_;
  std::condition_variable wake_;
  bool stop_ = false;
  std::thread thread_;  // last: uses all of the above
};

/// Memory of this process that is in RAM; 0 when the system does not say.
int64_t ResidentBytes();

}  // namespace sluice
