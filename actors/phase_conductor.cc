#include "actors/phase_conductor.h"

#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "policies/schedule/evaluation_sums.h"

namespace sluice {

PhaseConductor::PhaseConductor(proto::JobConfig job) : job_(std::move(job)) {
  if (job_.program().command_size() == 0) return;
  proto::JobConfig whole = job_;
  whole.clear_phases();
  auto schedule = PhaseSchedule::Create(PhasesOf(whole), {std::numeric_limits<int64_t>::max()});
  SLUICE_CHECK(schedule.ok(), "a job without phases has one");
  schedule_ = *std::move(schedule);
}

absl::Status PhaseConductor::OnJoin(const proto::Join& join, bool formed) {
  if (job_.program().command_size() > 0) return absl::OkStatus();
  const std::vector<int64_t> steps(join.phase_steps().begin(), join.phase_steps().end());
  if (!schedule_.has_value()) {
    auto schedule = PhaseSchedule::Create(PhasesOf(job_), steps);
    if (!schedule.ok()) return absl::FailedPreconditionError(schedule.status().message());
    schedule_ = *std::move(schedule);
  } else if (steps != schedule_->steps()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the job's phases have ", absl::StrJoin(steps, ", "), " steps here and ",
                     absl::StrJoin(schedule_->steps(), ", "), " elsewhere: different data?"));
  }
  if (!formed && join.schedule().entries_size() > joined_.entries_size()) {
    joined_ = join.schedule();
  }
  return absl::OkStatus();
}

absl::Status PhaseConductor::Start(int64_t start_step, int world_size) {
  world_size_ = world_size;
  sums_.clear();
  step_ = -1;
  const bool brought = joined_.entries_size() > schedule_->log().entries_size();
  const proto::ScheduleLog log = brought ? joined_ : schedule_->log();
  joined_.Clear();
  return schedule_->Restore(log, start_step);
}

void PhaseConductor::OnEvaluation(const proto::PhaseEvaluation& evaluation) {
  if (!schedule_.has_value() || !schedule_->Due(evaluation.step())) return;
  if (evaluation.rank() < 0 || evaluation.rank() >= world_size_) return;
  if (step_ != evaluation.step()) sums_.clear();
  step_ = evaluation.step();
  sums_[evaluation.rank()] = evaluation.evaluation();
}

PhaseConductor::Turn PhaseConductor::Decide() {
  SLUICE_CHECK(ready(), "every rank has evaluated");
  Turn turn;
  turn.evaluated = schedule_->run();
  turn.entry.set_step(step_);
  // In the order of ranks: a sum of floating-point numbers depends on it.
  for (const auto& [rank, sums] : sums_) {
    AddEvaluation(sums, turn.entry.mutable_evaluation());
  }
  sums_.clear();
  step_ = -1;
  const absl::StatusOr<bool> next = schedule_->Record(turn.entry);
  SLUICE_CHECK(next.ok(), "OnEvaluation takes what is due");
  turn.next_phase = *next;
  return turn;
}

proto::ScheduleLog PhaseConductor::LogUpTo(int64_t completed) const {
  proto::ScheduleLog log;
  if (!schedule_.has_value()) return log;
  for (const proto::ScheduleLog::Entry& entry : schedule_->log().entries()) {
    if (entry.step() <= completed) *log.add_entries() = entry;
  }
  return log;
}

}  // namespace sluice
