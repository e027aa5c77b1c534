#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "actors/heartbeat_thread.h"
#include "actors/member_client.h"
#include "actors/step_gate.h"
#include "base/ids.h"
#include "comm/reducer/reducer.h"
#include "comm/transport/transport.h"
#include "proto/control.pb.h"
#include "proto/job.pb.h"
#include "training/progress_probe.h"
#include "training/session/generation.h"
#include "training/session/step_reporter.h"

namespace sluice {

/// A worker's part in a job, whatever it is that trains: the line to the coordinator, and in each generation the
/// reducer, heartbeats and step reports. The built-in worker and programs that link the library are both made of
/// one.
///
///     Connect     Join --> StartReducing --> steps --> Finish --> the job is over
///                  ^                          |  an error
///                  +----- AfterError ---------+  OK: the next generation
///                                                else: Leave
///
/// \threadsafety the step loop's thread, but where said otherwise
class JobMember {
 public:
  struct Options {
    proto::JobConfig job;  ///< as resolved
    uint64_t job_digest = 0;
    proto::ProcessInfo process;
    absl::Duration start_timeout;
  };
  /// What the coordinator orders beyond generations, steps and plans. Called on an actor thread.
  struct Events {
    std::function<void(const proto::CheckpointCommit&)> on_commit = [](const auto&) {};
    /// The generation or the job is over: what is in flight beside the reducer is of no use.
    std::function<void(const std::string& cause)> on_over = [](const auto&) {};
    /// Once, when the job is.
    std::function<void(const MemberClient::End&)> on_end = [](const auto&) {};
  };
  /// Makes the line to the coordinator, which may be shared with what handles the process's signals.
  using Connector =
      std::function<absl::StatusOr<std::shared_ptr<MemberClient>>(MemberClient::Events)>;
  using Decorator = std::function<std::unique_ptr<Transport>(std::unique_ptr<Transport>)>;

  /// \error of `connect`, and as NeedsWindows
  static absl::StatusOr<std::unique_ptr<JobMember>> Connect(Options options, Events events,
                                                            const Connector& connect);
  ~JobMember();
  JobMember(const JobMember&) = delete;

  bool elastic() const { return options_.job.world().min_size() > 0; }
  const proto::JobConfig& job() const { return options_.job; }
  const proto::ProcessInfo& process() const { return options_.process; }

  /// Joins the next generation and waits until it starts; heartbeats begin.
  /// \param completed  steps whose outcome this process holds
  /// \param join       what is particular to this process; may say more of plans than is known here
  absl::StatusOr<Joined> Join(Step completed, proto::Join join);

  /// Programs: says what this rank trains, and waits until all ranks have.
  /// \return the generation's start, with the model
  /// \error kAborted  the generation or the job ended before
  absl::StatusOr<proto::StartGeneration> AwaitModel(proto::Registration model);

  /// Makes the generation's reducer.
  /// \param start     with the model
  /// \param decorate  may put something around the transport, on the comm thread; may be null
  absl::Status StartReducing(const proto::StartGeneration& start,
                             std::unique_ptr<UcxEndpointSeed> seed, std::string transport_key,
                             const Decorator& decorate);
  void StopReducing();
  bool reducing() const { return reducer_ != nullptr; }
  /// \pre reducing()
  Reducer& reducer() { return *reducer_; }

  /// Hands plans to the reducer; one that it cannot use ends what is in flight.
  void Offer(const std::vector<proto::CompressionPolicy>& plans);

  /// What follows from the end of a generation with `error` for this rank. In an elastic job a lost partner is the
  /// generation's end, not the job's: the coordinator is told, and says which.
  /// \return OK: join the next generation; else what this process's part in the job ends with
  absl::Status AfterError(const absl::Status& error, Step completed);

  /// This rank is through: tells so, and waits until all are.
  /// \error kAborted  the job failed; or the generation ended before all were through
  absl::Status Finish(proto::WorkerDone done);

  /// As LeaveWithError. \return the process's exit code
  int Leave(const absl::Status& error, Step completed);

  MemberClient& client() { return *client_; }
  StepGate& gate() { return gate_; }
  ProgressProbe& probe() { return probe_; }
  StepReporter& reporter() { return reporter_; }

 private:
  JobMember(Options options, Events events, bool needs_windows);

  MemberClient::Events ClientEvents();
  void AbortReducer(const std::string& cause);
  proto::Heartbeat ReadHeartbeat(Rank rank);

  const Options options_;
  const Events events_;
  StepGate gate_;
  ProgressProbe probe_{absl::Now};
  StepReporter reporter_;
  std::unique_ptr<Reducer> reducer_;  // of the generation
  absl::Mutex mu_;
  Reducer* live_reducer_ ABSL_GUARDED_BY(mu_) = nullptr;  // reducer_ while it may be aborted
  std::string abort_cause_ ABSL_GUARDED_BY(mu_);
  bool over_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<proto::StartGeneration> model_ ABSL_GUARDED_BY(mu_);  // of the generation
  // Last, so that they end first: their threads call into this.
  std::shared_ptr<MemberClient> client_;
  std::unique_ptr<HeartbeatThread> heartbeats_;
};

}  // namespace sluice
