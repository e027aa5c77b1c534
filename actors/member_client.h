#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/control.pb.h"
#include "security/credentials.h"

namespace sluice {

/// A worker's or profiler's connection to the coordinator, without CAF in sight.
/// \threadsafety any thread, but for the constructor and destructor
class MemberClient {
 public:
  struct Options {
    std::string coordinator_host;
    uint16_t coordinator_port = 0;
    std::string job_id;
    Credentials credentials;
    absl::Duration connect_timeout = absl::Seconds(20);
    /// When the coordinator is lost, that ends the generation, not the job: Join looks for it again at the same
    /// address, for this long. Zero: it is the job's end.
    absl::Duration reconnect_timeout;
  };
  /// How the process's part ended: `exit_code` 0 after a Shutdown.
  struct End {
    std::string cause;
    int exit_code = 0;
  };

  /// What the coordinator orders. Called on an actor thread: hand over and return.
  struct Events {
    /// A generation starts for this member; before Join returns.
    std::function<void(const proto::StartGeneration&)> on_start = [](const auto&) {};
    /// All ranks of the generation have made their optimizer, in a job with a program of its own.
    std::function<void(const proto::ModelReady&)> on_model = [](const auto&) {};
    std::function<void(const proto::PolicyUpdate&)> on_policy = [](const auto&) {};
    /// The generation is over: end what is in flight and join the next one.
    std::function<void(const proto::EndGeneration&)> on_generation_over = [](const auto&) {};
    /// Begin no step from now on, until on_boundary. \return the last one begun, -1 = none
    std::function<int64_t(const proto::Hold&)> on_hold = [](const auto&) { return -1; };
    std::function<void(const proto::Boundary&)> on_boundary = [](const auto&) {};
    std::function<void(const proto::PhaseDecision&)> on_phase = [](const auto&) {};
    std::function<void(const proto::CheckpointCommit&)> on_commit = [](const auto&) {};
    /// Once.
    std::function<void(const End&)> on_end = [](const auto&) {};
  };

  /// Connects, trying again with back-off until the timeout.
  /// \error kUnavailable         host, port, time waited and the reason of the last attempt
  /// \error kUnauthenticated     one side could not prove that it belongs to the job
  /// \error kFailedPrecondition  another job or version
  static absl::StatusOr<std::unique_ptr<MemberClient>> Connect(const Options& options,
                                                               Events events);
  virtual ~MemberClient() = default;

  /// Asks to join the next generation and waits until it starts.
  /// \error kDeadlineExceeded  after `timeout`
  /// \error kAborted           refused, or the job ended: the cause
  virtual absl::StatusOr<proto::StartGeneration> Join(proto::Join join, absl::Duration timeout) = 0;

  // Envelopes are filled in on the way.
  virtual void Send(proto::Registration registration) = 0;
  virtual void Send(proto::StepReport report) = 0;
  virtual void Send(proto::Statistics statistics) = 0;
  virtual void Send(proto::PhaseEvaluation evaluation) = 0;
  virtual void Send(proto::WorkerDone done) = 0;
  virtual void Send(proto::CheckpointPart part) = 0;
  virtual void Send(proto::CheckpointDone done) = 0;
  virtual void Send(proto::Heartbeat heartbeat) = 0;
  virtual void Send(proto::Failure failure) = 0;
  virtual void Send(proto::Leave leave) = 0;

  /// Secret of one generation's data plane, that all its members can tell and nobody else.
  virtual std::string TransportKey(int64_t generation) const = 0;
  /// The same of the mesh that a program's own collectives use.
  virtual std::string CollectivesKey(int64_t generation) const = 0;

  /// The end, if it came within `timeout`.
  virtual absl::StatusOr<End> WaitEnd(absl::Duration timeout) = 0;
};

}  // namespace sluice
