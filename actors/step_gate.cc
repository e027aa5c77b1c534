#include "actors/step_gate.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "actors/policy_publisher.h"
#include "base/log.h"

namespace sluice {

StepGate::StepGate(const proto::Compression& compression, bool needs_windows)
    : compression_(compression),
      needs_windows_(needs_windows),
      decided_(kNoDecision) {}

void StepGate::OnStart(const proto::StartGeneration& start) {
  absl::MutexLock lock(&mu_);
  generation_over_ = false;
  held_.reset();
  boundary_.reset();
  evaluated_.reset();
  unanswered_ = false;
  begun_ = start.start_step() - 1;
  decided_ = start.decided_window();
  // A coordinator that was started again may not know of the newest ones, and gives their versions to others.
  policies_.erase(
      std::remove_if(policies_.begin(), policies_.end(),
                     [&](const auto& one) { return one.version() > start.newest_version(); }),
      policies_.end());
  if (start.policy().version() > 0) Keep(start.policy());
  // What the last reducer was offered and never used is offered again.
  due_ = DuePolicies();
  for (const proto::CompressionPolicy& policy : policies_) {
    if (policy.effective_step() > start.start_step()) due_.Add(policy);
  }
}

bool StepGate::Keep(const proto::CompressionPolicy& policy) {
  const bool known = std::any_of(policies_.begin(), policies_.end(), [&](const auto& one) {
    return one.version() == policy.version();
  });
  if (!known) policies_.push_back(policy);
  return !known;
}

void StepGate::OnPolicy(const proto::PolicyUpdate& update) {
  absl::MutexLock lock(&mu_);
  decided_ = std::max(decided_, update.window());
  unanswered_ = false;
  // Policies are sent again to those who join.
  if (update.has_policy() && Keep(update.policy())) due_.Add(update.policy());
}

int64_t StepGate::OnHold(const proto::Hold& hold) {
  absl::MutexLock lock(&mu_);
  held_ = hold.serial();
  return begun_;
}

void StepGate::OnBoundary(const proto::Boundary& boundary) {
  absl::MutexLock lock(&mu_);
  if (held_ != boundary.serial()) return;
  held_.reset();
  if (boundary.checkpoint() || boundary.then() != proto::Boundary::THEN_CONTINUE) {
    boundary_ = boundary;
  }
}

void StepGate::OnPhase(const proto::PhaseDecision& decision) {
  absl::MutexLock lock(&mu_);
  evaluated_ = decision.entry();
}

std::optional<proto::ScheduleLog::Entry> StepGate::AwaitPhase(Step completed) {
  absl::MutexLock lock(&mu_);
  const auto known = [&]() ABSL_SHARED_LOCKS_REQUIRED(mu_) {
    return evaluated_.has_value() && evaluated_->step() == completed.value;
  };
  // On the way to a regroup the coordinator decides nothing any more: the next generation evaluates again.
  const auto leaves = [&]() ABSL_SHARED_LOCKS_REQUIRED(mu_) {
    return Over() || (boundary_.has_value() && boundary_->before_step() <= completed.value &&
                      boundary_->then() == proto::Boundary::THEN_REGROUP);
  };
  const auto done = [&]() ABSL_SHARED_LOCKS_REQUIRED(mu_) { return known() || leaves(); };
  mu_.Await(absl::Condition(&done));
  return known() ? evaluated_ : std::nullopt;
}

void StepGate::OnGenerationOver(const proto::EndGeneration& end) {
  absl::MutexLock lock(&mu_);
  generation_over_ = true;
  over_reason_ = end.reason();
}

void StepGate::OnEnd() {
  absl::MutexLock lock(&mu_);
  ended_ = true;
}

bool StepGate::Over() const { return generation_over_ || ended_; }
bool StepGate::LeavesBefore(Step step) const {
  return boundary_.has_value() && boundary_->before_step() <= step.value &&
         boundary_->then() != proto::Boundary::THEN_CONTINUE;
}
bool StepGate::Free() const { return !held_.has_value() || Over(); }

bool StepGate::over() const {
  absl::MutexLock lock(&mu_);
  return Over();
}

bool StepGate::AwaitOver(absl::Duration timeout) const {
  absl::MutexLock lock(&mu_);
  return mu_.AwaitWithTimeout(absl::Condition(this, &StepGate::Over), timeout);
}

std::optional<proto::CompressionPolicy> StepGate::Find(uint32_t version) const {
  absl::MutexLock lock(&mu_);
  for (const proto::CompressionPolicy& policy : policies_) {
    if (policy.version() == version) return policy;
  }
  return std::nullopt;
}

void StepGate::AddPolicyState(Step next_step, proto::Join& join) const {
  absl::MutexLock lock(&mu_);
  if (decided_ == kNoDecision) return;
  proto::PolicyState& state = *join.mutable_policy_state();
  for (const proto::CompressionPolicy& policy : policies_) {
    if (policy.effective_step() > next_step.value) {
      *state.add_pending() = policy;
    } else {
      *state.mutable_policy() = policy;
    }
  }
  state.set_changes(static_cast<int64_t>(policies_.size()));
  const int64_t ended = needs_windows_ ? next_step.value / compression_.window_steps() - 1 : -1;
  state.set_decided_window(std::max(ended, kInitialDecision));
}

// With lead_steps to go the answer is there long before; a late one costs time, and past kDecisionWait it costs
// the promise that a rerun switches at the same step, not the job.
void StepGate::AwaitDecision(Step step) {
  const int64_t required = RequiredDecision(compression_, needs_windows_, step);
  // Ranks that have left already may have ended the window with their profiler.
  const auto known = [&]() ABSL_SHARED_LOCKS_REQUIRED(mu_) {
    return decided_ >= required || Over() || LeavesBefore(step);
  };
  if (unanswered_ || mu_.AwaitWithTimeout(absl::Condition(&known), kDecisionWait)) return;
  SLUICE_LOG(Warning, ToString(step), ": no decision on window ", required, " for ",
             absl::FormatDuration(kDecisionWait),
             "; going on with the plan in force. A rerun may differ from this run");
  unanswered_ = true;
}

StepGate::Verdict StepGate::Before(Step step) {
  absl::MutexLock lock(&mu_);
  AwaitDecision(step);
  mu_.Await(absl::Condition(this, &StepGate::Free));
  Verdict verdict;
  if (ended_) {
    verdict.pass = Pass::kEnded;
    return verdict;
  }
  if (generation_over_) {
    verdict.pass = Pass::kRegroup;
    verdict.reason = over_reason_;
    return verdict;
  }
  if (boundary_.has_value() && boundary_->before_step() <= step.value) {
    verdict.checkpoint = boundary_->checkpoint();
    verdict.reason = boundary_->reason();
    if (boundary_->then() == proto::Boundary::THEN_REGROUP) verdict.pass = Pass::kRegroup;
    if (boundary_->then() == proto::Boundary::THEN_LEAVE) verdict.pass = Pass::kLeave;
    boundary_.reset();
    if (verdict.pass != Pass::kStep) return verdict;
  }
  begun_ = step.value;
  verdict.plans = due_.Take(step);
  return verdict;
}

}  // namespace sluice
