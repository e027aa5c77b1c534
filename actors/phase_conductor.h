#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "absl/status/statusor.h"
#include "policies/schedule/phase_schedule.h"
#include "proto/control.pb.h"
#include "proto/job.pb.h"

namespace sluice {

/// The coordinator's side of phases: learns their lengths from the first worker, sums up what ranks evaluate, and
/// makes it an entry of the schedule's log. A program has one phase without an end: when it ends is its own business.
/// Pure.
class PhaseConductor {
 public:
  explicit PhaseConductor(proto::JobConfig job);

  /// A worker asks to join. \param formed  a generation has been: this schedule is the newest
  /// \error kFailedPrecondition  phases of other lengths than other workers', or none at all
  absl::Status OnJoin(const proto::Join& join, bool formed);

  /// A generation starts. \pre a worker has joined
  /// \error kFailedPrecondition  what the workers were in before are not this job's phases
  absl::Status Start(int64_t start_step, int world_size);

  /// Of one rank. Others than those that are due change nothing.
  void OnEvaluation(const proto::PhaseEvaluation& evaluation);

  /// All ranks have evaluated, and Decide was not called yet.
  bool ready() const { return static_cast<int>(sums_.size()) == world_size_; }
  /// Steps completed at the evaluation. \pre ready()
  int64_t step() const { return step_; }

  struct Turn {
    proto::ScheduleLog::Entry entry;
    PhaseSchedule::Run evaluated;  ///< the run that was
    bool next_phase = false;       ///< another one is going on now
  };
  /// Records the sums over all ranks. \pre ready()
  Turn Decide();

  /// \pre a worker has joined
  const PhaseSchedule& schedule() const { return *schedule_; }
  bool known() const { return schedule_.has_value(); }
  proto::ScheduleLog LogUpTo(int64_t completed) const;

 private:
  const proto::JobConfig job_;
  std::optional<PhaseSchedule> schedule_;
  proto::ScheduleLog joined_;  // the longest that a worker brought, before the first generation
  int world_size_ = 0;
  int64_t step_ = -1;
  std::map<int, proto::Evaluation> sums_;  // by rank, for step_
};

}  // namespace sluice
