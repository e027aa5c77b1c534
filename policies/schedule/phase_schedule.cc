#include "policies/schedule/phase_schedule.h"

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "policies/schedule/evaluation_sums.h"

namespace sluice {

std::vector<proto::Phase> PhasesOf(const proto::JobConfig& job) {
  if (job.phases_size() > 0) return {job.phases().begin(), job.phases().end()};
  proto::Phase phase;
  phase.set_kind("train");
  phase.set_steps(job.training().steps());
  phase.set_epochs(job.training().epochs());
  phase.set_until("never");
  phase.set_repeat(1);
  *phase.mutable_optimizer() = job.optimizer();
  *phase.mutable_schedule() = job.schedule();
  *phase.mutable_compression() = PhaseCompressionOf(job.compression());
  return {phase};
}

proto::PhaseCompression PhaseCompressionOf(const proto::Compression& compression) {
  proto::PhaseCompression part;
  part.set_policy(compression.policy());
  part.set_alpha(compression.alpha());
  return part;
}

proto::Compression CompressionOf(const proto::JobConfig& job, const proto::Phase& phase) {
  proto::Compression compression = job.compression();
  compression.set_policy(phase.compression().policy());
  compression.set_alpha(phase.compression().alpha());
  return compression;
}

std::string NameOf(const proto::Phase& phase) {
  return phase.name().empty() ? phase.kind() : phase.name();
}

absl::StatusOr<std::vector<int>> RunOrder(const std::vector<proto::Phase>& phases) {
  std::vector<int> order;
  std::map<std::string, size_t> begins;  // by name: where in `order`
  for (size_t p = 0; p < phases.size(); ++p) {
    const std::string where = absl::StrCat("phases[", p, "]");
    const std::string name = NameOf(phases[p]);
    if (!begins.emplace(name, order.size()).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ".name: \"", name, "\" is taken by an earlier phase"));
    }
    order.push_back(static_cast<int>(p));
    const std::string& from = phases[p].repeat_from();
    const auto begin = begins.find(from.empty() ? name : from);
    if (begin == begins.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ".repeat_from: no phase up to this one is named \"", from, "\""));
    }
    const std::vector<int> block(order.begin() + static_cast<int64_t>(begin->second), order.end());
    for (int r = 1; r < phases[p].repeat(); ++r) {
      if (order.size() + block.size() > kMostRuns) {
        return absl::InvalidArgumentError(
            absl::StrCat(where, ".repeat: more than ", kMostRuns, " runs of phases in all"));
      }
      order.insert(order.end(), block.begin(), block.end());
    }
  }
  return order;
}

absl::StatusOr<PhaseSchedule> PhaseSchedule::Create(std::vector<proto::Phase> phases,
                                                    std::vector<int64_t> steps) {
  if (phases.empty() || steps.size() != phases.size() ||
      *std::min_element(steps.begin(), steps.end()) < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("a job of ", phases.size(), " phases, and ", steps.size(),
                     " lengths in steps: expected one of at least 1 for each"));
  }
  SLUICE_ASSIGN_OR_RETURN(std::vector<int> order, RunOrder(phases));
  return PhaseSchedule(std::move(phases), std::move(steps), std::move(order));
}

PhaseSchedule::PhaseSchedule(std::vector<proto::Phase> phases, std::vector<int64_t> steps,
                             std::vector<int> order)
    : phases_(std::move(phases)), steps_(std::move(steps)), order_(std::move(order)) {
  Begin(0, 0);
}

void PhaseSchedule::Begin(int number, int64_t first_step) {
  run_.number = number;
  run_.phase = order_[number];
  run_.first_step = first_step;
  run_.steps = steps_[run_.phase];
  run_.last = number + 1 == static_cast<int>(order_.size());
  first_entry_ = log_.entries_size();
}

int64_t PhaseSchedule::total_steps() const {
  int64_t total = run_.end();
  for (size_t r = run_.number + 1; r < order_.size(); ++r) total += steps_[order_[r]];
  return total;
}

bool PhaseSchedule::Due(int64_t completed) const {
  if (log_.entries_size() > 0 && log_.entries(log_.entries_size() - 1).step() >= completed) {
    return false;
  }
  const int64_t done = completed - run_.first_step;
  if (done <= 0 || done > run_.steps) return false;
  if (done == run_.steps) return !run_.last;
  return phase().until() != "never" && done % phase().evaluate_every_steps() == 0;
}

// Of the run's entries, the newest last.
bool PhaseSchedule::Holds() const {
  const proto::Evaluation& newest = log_.entries(log_.entries_size() - 1).evaluation();
  if (phase().until() == "accuracy") return Accuracy(newest) >= phase().target();
  if (phase().until() == "loss") return MeanLoss(newest) <= phase().target();
  if (phase().until() != "plateau") return false;
  double best = std::numeric_limits<double>::infinity();
  int since = 0;
  for (int e = first_entry_; e < log_.entries_size(); ++e) {
    const double loss = MeanLoss(log_.entries(e).evaluation());
    since = loss < best - phase().min_delta() ? 0 : since + 1;
    if (since == 0) best = loss;
  }
  return since >= phase().patience();
}

absl::StatusOr<bool> PhaseSchedule::Record(const proto::ScheduleLog::Entry& entry) {
  if (!Due(entry.step())) {
    return absl::FailedPreconditionError(
        absl::StrCat("an evaluation after ", entry.step(), " steps is none of phase \"",
                     NameOf(phase()), "\", which began with step ", run_.first_step));
  }
  *log_.add_entries() = entry;
  if (entry.step() < run_.end() && !Holds()) return false;
  if (run_.last) {  // its condition holds: the job ends here
    run_.steps = entry.step() - run_.first_step;
    return false;
  }
  Begin(run_.number + 1, entry.step());
  return true;
}

absl::Status PhaseSchedule::Restore(const proto::ScheduleLog& log, int64_t completed) {
  PhaseSchedule fresh(phases_, steps_, order_);
  for (const proto::ScheduleLog::Entry& entry : log.entries()) {
    if (entry.step() > completed) break;
    SLUICE_RETURN_IF_ERROR(fresh.Record(entry).status());
  }
  *this = std::move(fresh);
  return absl::OkStatus();
}

}  // namespace sluice
