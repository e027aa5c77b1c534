#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "actors/due_policies.h"
#include "base/ids.h"
#include "proto/control.pb.h"
#include "proto/job.pb.h"

namespace sluice {

/// What a rank's step loop asks before each step: may I begin it, and with which plans? Holds the loop back while
/// ranks agree on a boundary, or until the coordinator has decided on the windows whose plan may take effect next.
///
///     actor thread                                 step loop
///     OnStart, OnPolicy, OnHold,        -->        Before(step): go on | checkpoint first | leave the generation
///     OnBoundary, OnGenerationOver, OnEnd
///
/// After OnHold no step is begun until OnBoundary, so that the coordinator can name a step that no rank has
/// begun. Both are forgotten when the generation ends.
/// \threadsafety any thread; Before: the step loop
class StepGate {
 public:
  /// How long a decision is waited for; then training goes on with the plan in force.
  static constexpr absl::Duration kDecisionWait = absl::Seconds(10);

  enum class Pass {
    kStep,     ///< begin the step
    kRegroup,  ///< leave the generation, and join the next one
    kLeave,    ///< the job stops here, in good order
    kEnded,    ///< the job has ended
  };
  struct Verdict {
    Pass pass = Pass::kStep;
    bool checkpoint = false;                      ///< write one first, of the steps before this one
    std::vector<proto::CompressionPolicy> plans;  ///< to offer before the step, oldest first
    std::string reason;
  };

  /// \param needs_windows  of the job's policy
  StepGate(const proto::Compression& compression, bool needs_windows);

  /// Waits until `step` may begin. Counts it as begun if the verdict is kStep.
  Verdict Before(Step step);

  // Orders of the coordinator, in the order in which it gave them.
  /// A generation begins for this rank: forgets holds and boundaries of the last one.
  void OnStart(const proto::StartGeneration& start);
  void OnPolicy(const proto::PolicyUpdate& update);
  /// \return the last step begun, -1 = none
  int64_t OnHold(const proto::Hold& hold);
  void OnBoundary(const proto::Boundary& boundary);
  void OnPhase(const proto::PhaseDecision& decision);
  void OnGenerationOver(const proto::EndGeneration& end);
  void OnEnd();

  /// Waits for what was evaluated with `completed` steps done, over all ranks. \return nullopt: the generation or
  /// the job is over first, or ranks leave it before that step
  std::optional<proto::ScheduleLog::Entry> AwaitPhase(Step completed);

  /// Whether the generation is over, or the job.
  bool over() const;
  /// Waits until it is. \return false after `timeout`
  bool AwaitOver(absl::Duration timeout) const;

  /// The plan of that version, if it was received and still stands.
  std::optional<proto::CompressionPolicy> Find(uint32_t version) const;

  /// What this rank knows of plans, for a coordinator that knows nothing: those in force at `next_step` or later.
  /// Adds nothing before the first decision.
  void AddPolicyState(Step next_step, proto::Join& join) const;

 private:
  /// Whether the boundary has this rank leave the generation or the job before `step`.
  bool LeavesBefore(Step step) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  bool Free() const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  bool Over() const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  /// \return whether it is new
  bool Keep(const proto::CompressionPolicy& policy) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void AwaitDecision(Step step) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const proto::Compression compression_;
  const bool needs_windows_;
  mutable absl::Mutex mu_;
  std::vector<proto::CompressionPolicy> policies_ ABSL_GUARDED_BY(mu_);  // all received
  DuePolicies due_ ABSL_GUARDED_BY(mu_);                                 // of them, not offered yet
  int64_t decided_ ABSL_GUARDED_BY(mu_);  // newest window that was decided
  bool unanswered_ ABSL_GUARDED_BY(mu_) = false;  // a wait was given up, and no answer came since
  int64_t begun_ ABSL_GUARDED_BY(mu_) = -1;
  std::optional<int64_t> held_ ABSL_GUARDED_BY(mu_);  // serial of the hold without a boundary yet
  std::optional<proto::Boundary> boundary_ ABSL_GUARDED_BY(mu_);
  std::optional<proto::ScheduleLog::Entry> evaluated_ ABSL_GUARDED_BY(mu_);  // the newest
  bool generation_over_ ABSL_GUARDED_BY(mu_) = false;
  std::string over_reason_ ABSL_GUARDED_BY(mu_);
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace sluice
