#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/control.pb.h"

namespace sluice {

/// A worker's or profiler's connection to the coordinator, without CAF in sight.
/// \threadsafety any thread, but for the constructor and destructor
class MemberClient {
 public:
  struct Options {
    std::string coordinator_host;
    uint16_t coordinator_port = 0;
    std::string job_id;
    absl::Duration connect_timeout = absl::Seconds(20);
  };
  /// How the process's part ended: `exit_code` 0 after a Shutdown.
  struct End {
    std::string cause;
    int exit_code = 0;
  };

  /// Connects, trying again with back-off until the timeout.
  /// \param on_policy  on an actor thread: hand over and return
  /// \param on_end     once, on an actor thread
  /// \error kUnavailable  host, port, time waited and CAF's reason
  static absl::StatusOr<std::unique_ptr<MemberClient>> Connect(
      const Options& options, std::function<void(const proto::PolicyUpdate&)> on_policy,
      std::function<void(const End&)> on_end);
  virtual ~MemberClient() = default;

  /// Asks to join and waits until the generation starts.
  /// \error kDeadlineExceeded  after `timeout`
  /// \error kAborted           refused, or the job ended: the cause
  virtual absl::StatusOr<proto::StartGeneration> Join(proto::Join join, absl::Duration timeout) = 0;

  // Envelopes are filled in on the way.
  virtual void Send(proto::StepReport report) = 0;
  virtual void Send(proto::Statistics statistics) = 0;
  virtual void Send(proto::WorkerDone done) = 0;
  virtual void Send(proto::Heartbeat heartbeat) = 0;
  virtual void Send(proto::Failure failure) = 0;

  /// The end, if it came within `timeout`.
  virtual absl::StatusOr<End> WaitEnd(absl::Duration timeout) = 0;
};

}  // namespace sluice
