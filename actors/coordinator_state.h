#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "actors/checkpoint_ledger.h"
#include "actors/membership.h"
#include "actors/phase_conductor.h"
#include "actors/policy_publisher.h"
#include "actors/stall_detector.h"
#include "actors/step_ledger.h"
#include "actors/step_times.h"
#include "actors/window_gatherer.h"
#include "actors/window_profiler.h"
#include "policies/schedule/evaluation_sums.h"
#include "proto/control.pb.h"
#include "proto/job.pb.h"

namespace sluice {

/// Version of the control protocol: nodes with another one are refused.
inline constexpr uint32_t kProtocolVersion = 5;

/// One run of one phase, as far as it went.
struct PhaseOutcome {
  std::string name;
  int64_t first_step = 0;
  int64_t end_step = 0;          ///< and so far, when it was evaluated
  proto::Evaluation evaluation;  ///< then, over all ranks
};

/// What the job came to.
struct JobResult {
  LedgerTotals totals;
  proto::Evaluation evaluation;  ///< over all ranks
  std::vector<PhaseOutcome> phases;
  int policy_changes = 0;
  double raw_bytes_per_step = 0;
  absl::Duration wall;  ///< start of the first generation to the last step report
  int64_t generations = 1;
  absl::Duration regrouping;  ///< between generations, in all
  std::string checkpoint_path;
  std::string stopped_by;     ///< why the job stopped before its last step; empty: it did not
  std::vector<RankLag> lags;  ///< by rank, of the last generation
  int64_t stalls = 0;
  absl::Duration stalled;  ///< sum over stalls that are over
};

/// What is trained, in numbers.
struct ModelSize {
  int64_t parameters = 0;
  double raw_bytes = 0;  ///< sent by one rank per step without compression, mean over ranks
};

/// Why the job is to end, if what supervises it has gone. Asked before a lost member is blamed: when the
/// launcher dies, its children go with it, and the first to go is no culprit.
using StopReason = std::function<std::optional<std::string>()>;

/// Who watches a job: the progress line, the run directory, a test. Called on the coordinator's thread; must
/// not block for long.
class CoordinatorObserver {
 public:
  virtual ~CoordinatorObserver() = default;
  /// A generation starts.
  virtual void OnStarted(const proto::StartGeneration& start, const ModelSize& size) = 0;
  /// It has ended, and another one is to follow. \param lost  whom it ended for; empty when others join
  virtual void OnRegroup(const std::string& reason, const std::vector<proto::ProcessInfo>& lost) {}
  virtual void OnSteps(const std::vector<ClusterStep>& steps) = 0;
  /// One rank's report: its bucket timings and links.
  virtual void OnReport(const proto::StepReport& report) = 0;
  virtual void OnPolicy(const proto::CompressionPolicy& policy) = 0;
  /// This phase goes on from here: with every generation, and after every evaluation. Its end is the latest one.
  /// \param total_steps  of the job, at the latest
  virtual void OnPhase(const PhaseOutcome&, int64_t total_steps) {}
  /// Ranks have evaluated between two steps, in this phase.
  virtual void OnEvaluation(const PhaseOutcome&) {}
  virtual void OnWindow(const proto::WindowStatistics& window) = 0;
  virtual void OnCheckpoint(const CheckpointResult& result) {}
  virtual void OnHeartbeat(const proto::Heartbeat&) {}
  /// With new steps: how much each rank was waited for so far, by rank.
  virtual void OnLags(const std::vector<RankLag>&) {}
  /// A rank holds the others up, or does so no more.
  virtual void OnFinding(const Finding&) {}
  /// The job's end: a result, or the failure that ended it.
  virtual void OnEnd(const std::variant<JobResult, proto::Failure>& outcome) = 0;
};

/// The coordinator's decisions, without network, threads or clock: events in, messages out.
///
///             (1)             (3)
///     kForming <--> kRunning --> kEnded(result)
///         \______(2)______\_(4)_> kEnded(failure)
///
///   1  enough workers and all profilers have joined with the same protocol, job and model
///   2  elastic jobs: a process is lost, or another one joins; Membership says who goes on from where.
///      Otherwise a loss is a failure
///   3  every worker is done: everybody is told to shut down
///   4  a process reports an error of its own, a checksum differs, a limit is reached, or the user
///      stops the job: everybody is told why, with the first cause
///
/// In a job with a program of its own a generation starts without a model: OnModel of all its ranks makes it known
/// to everybody, and only then are plans published. What the program has computed is not known here: a rank that
/// says that it is done need not join the next generation, which has no one to go on for.
///
/// While running, workers step, profilers report their layers of each window, policies are published. A failure that is only the
/// consequence of a lost partner ("secondary") waits up to kCauseGrace for the partner's own end to become known,
/// so that the culprit is named and not its victim.
class CoordinatorState {
 public:
  struct Options {
    std::string job_id;
    proto::ProcessInfo self;  ///< the coordinator's process, for messages to people
    uint64_t job_digest = 0;
    proto::JobConfig job;
    int profilers = 0;
    absl::Duration start_timeout = absl::Seconds(120);
    bool recovering = false;  ///< in the place of one that died: its members are still there
  };
  /// The shell's number for a connection.
  using MemberId = Membership::MemberId;
  using Message =
      std::variant<proto::JoinRefused, proto::StartGeneration, proto::EndGeneration,
                   proto::ModelReady, proto::Hold, proto::Boundary, proto::PolicyUpdate,
                   proto::PhaseDecision, proto::CheckpointCommit, proto::Failure, proto::Shutdown>;
  struct Outgoing {
    MemberId to;
    Message message;
  };
  enum class Phase { kForming, kRunning, kEnded };

  static constexpr absl::Duration kCauseGrace = absl::Seconds(2);
  static constexpr absl::Duration kLeaveGrace = absl::Seconds(5);

  /// \param observer  must outlive this
  static absl::StatusOr<std::unique_ptr<CoordinatorState>> Create(Options options,
                                                                  PolicyPublisher::Clock clock,
                                                                  CoordinatorObserver* observer);

  std::vector<Outgoing> OnJoin(MemberId member, const proto::Join& join);
  std::vector<Outgoing> OnModel(MemberId member, const proto::Registration& model);
  std::vector<Outgoing> OnLost(MemberId member, const std::string& how);
  std::vector<Outgoing> OnStepReport(MemberId member, const proto::StepReport& report);
  std::vector<Outgoing> OnHeartbeat(MemberId member, const proto::Heartbeat& heartbeat);
  std::vector<Outgoing> OnStatistics(MemberId member, const proto::Statistics& statistics);
  std::vector<Outgoing> OnPhaseEvaluation(MemberId member,
                                          const proto::PhaseEvaluation& evaluation);
  std::vector<Outgoing> OnWorkerDone(MemberId member, const proto::WorkerDone& done);
  std::vector<Outgoing> OnFailureReport(MemberId member, const proto::Failure& failure);
  /// A process was asked to end. Asked again, or after the user has asked, changes nothing. Of a job that is not
  /// elastic nobody leaves alone.
  std::vector<Outgoing> OnLeave(MemberId member, const proto::Leave& leave);
  std::vector<Outgoing> OnHeld(MemberId member, const proto::Held& held);
  std::vector<Outgoing> OnCheckpointPart(MemberId member, const proto::CheckpointPart& part);
  std::vector<Outgoing> OnCheckpointDone(MemberId member, const proto::CheckpointDone& done);
  /// The user asked for a checkpoint now.
  std::vector<Outgoing> OnCheckpointRequest();
  /// The user asked for the end: `exit_code` 130 or 143. `orderly`: ranks agree on a step, write a checkpoint
  /// and stop, if they can within checkpoint.grace_seconds; otherwise, and when asked again, the job ends at once.
  std::vector<Outgoing> OnStopRequest(const std::string& why, int exit_code, bool orderly);
  /// Time passes: start timeout, grace of a secondary failure. Call a few times a second.
  std::vector<Outgoing> OnTick();

  Phase phase() const;
  /// Members that joined and are not lost.
  int present() const { return static_cast<int>(members_.size()); }
  /// Ended, and every member has left or kLeaveGrace has passed since.
  bool MayLeave() const;
  /// What the coordinator's process should end with; meaningful once ended.
  int exit_code() const { return exit_code_; }
  /// Messages of another job or generation, or in a phase where they make no sense.
  int64_t dropped() const { return dropped_; }
  const std::string& job_id() const { return options_.job_id; }

 private:
  struct Member {
    proto::ProcessInfo process;
    std::string transport_address;
    std::vector<proto::TensorSpec> tensors;
    uint64_t model_file_digest = 0;
    int64_t total_steps = 0;                   // of a late model, 0 = its program does not say
    std::optional<std::string> model_address;  // of a late model: it is known
    bool done = false;                         // with the current generation
  };

  CoordinatorState(Options options, std::unique_ptr<PolicyPublisher> publisher,
                   PolicyPublisher::Clock clock, CoordinatorObserver* observer);

  proto::Envelope Stamp() const;
  bool Accept(MemberId member, const proto::Envelope& envelope);
  absl::Status CheckJoin(MemberId member, const proto::Join& join) const;
  void TakeOverLine(MemberId id, const proto::ProcessInfo& process);
  std::vector<Outgoing> Follow(const Membership::Orders& orders);
  std::vector<Outgoing> Start(const Membership::Start& start);
  std::vector<Outgoing> End(const Membership::End& end);
  std::vector<Outgoing> ToWorkers(const Message& message) const;
  int64_t TotalSteps() const;
  bool late_model() const { return options_.job.program().command_size() > 0; }
  proto::StartGeneration StartMessage(const Membership::Start& start) const;
  std::vector<Outgoing> PublishPlans(int64_t start_step);
  std::vector<Outgoing> Decide(std::vector<proto::WindowStatistics> windows);
  std::vector<Outgoing> FinishIfAllDone();
  absl::Status SameAsBefore(const proto::Registration& model) const;
  absl::Status PrepareWorld(const proto::StartGeneration& start, ModelSize& size);
  std::vector<Outgoing> PublishAgain(int64_t start_step);
  double PredictedBytes(const proto::CompressionPolicy& policy) const;
  std::vector<Outgoing> Broadcast(const Message& message) const;
  std::vector<Outgoing> PublishBeforeTraining();
  std::vector<Outgoing> PublishDecision(
      int64_t window, const absl::StatusOr<std::optional<proto::CompressionPolicy>>& policy);
  std::vector<Outgoing> TurnIfReady();
  void BeginPhase();
  proto::Compression PhaseCompression() const;
  std::vector<Outgoing> Fail(proto::Failure failure);
  absl::Status Resume(const proto::PolicyState& state);
  void Report(const std::vector<CheckpointResult>& dropped);
  std::vector<Outgoing> Drop(int rank, const proto::Failure& failure);
  std::vector<Outgoing> FailOwn(const std::string& cause, int exit_code);
  std::vector<Outgoing> ReportFindings();

  const Options options_;
  std::unique_ptr<PolicyPublisher> publisher_;
  PolicyPublisher::Clock clock_;
  CoordinatorObserver* const observer_;

  Membership membership_;
  bool over_ = false;
  std::map<MemberId, Member> members_;
  PhaseConductor conductor_;
  int64_t decided_window_ = 0;  // newest window that a phase's end need not wait for
  std::optional<Membership::Start>
      without_model_;                     // the current generation, until its model is known
  std::vector<proto::TensorSpec> model_;  // of the job, once known
  int64_t done_steps_ = 0;                // of the ranks that are done with the current generation
  std::optional<WindowProfiler> profiler_;
  std::vector<MemberId> profilers_;         // of the current generation, in their order
  std::optional<WindowGatherer> gatherer_;  // of what they measure; none: there are no profilers
  StepLedger ledger_;
  StepTimes times_;
  std::vector<proto::CompressionPolicy> published_;  // all, in the order of versions
  bool published_before_training_ = false;
  std::optional<proto::PolicyState>
      resume_;  // to go on with: the newest that those who joined know of
  std::optional<int64_t>
      resumed_decision_;  // newest window decided in the checkpoint that the job goes on from
  CheckpointLedger checkpoints_;
  Step newest_checkpoint_{-1};
  struct Stop {
    std::string why;
    int exit_code = 0;
    absl::Time deadline;
  };
  std::optional<Stop> stop_;
  StallDetector detector_;
  JobResult result_;
  absl::Time started_ = absl::InfinitePast();
  absl::Time regrouping_since_;
  absl::Time last_report_;
  std::optional<proto::Failure> secondary_;
  absl::Time secondary_since_;
  absl::Time ended_;
  int exit_code_ = 0;
  int64_t dropped_ = 0;
};

}  // namespace sluice
