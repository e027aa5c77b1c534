#include "actors/policy_publisher.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "policies/compression/alpha_schedule.h"
#include "policies/compression/codec_choice.h"
#include "policies/compression/effective_step.h"
#include "policies/schedule/phase_schedule.h"

namespace sluice {
namespace {

// A policy without layers is version 0: raw everywhere.
bool SameChoices(const proto::CompressionPolicy& a, const proto::CompressionPolicy& b) {
  const int layers = std::max(a.layers_size(), b.layers_size());
  for (int i = 0; i < layers; ++i) {
    const proto::CodecChoice raw;
    const proto::CodecChoice& in_a = i < a.layers_size() ? a.layers(i).codec() : raw;
    const proto::CodecChoice& in_b = i < b.layers_size() ? b.layers(i).codec() : raw;
    if (!SameCodec(in_a, in_b)) return false;
  }
  return true;
}

// `sizes` as if they were a window's whose plan takes effect at `step`.
proto::WindowStatistics SizesFor(const proto::Compression& compression,
                                 const proto::WindowStatistics& sizes, int64_t step) {
  proto::WindowStatistics window = sizes;
  window.set_last_step(step - 1 - compression.lead_steps());
  return window;
}

}  // namespace

int64_t RequiredDecision(const proto::Compression& compression, bool needs_windows, Step step) {
  // A plan must be known to every rank one step before it takes effect (docs/adr/0002).
  const int64_t effective = step.value + 1;
  if (effective < compression.warmup_steps()) return kNoDecision;
  if (!needs_windows) return kInitialDecision;
  const int64_t ended = effective - compression.lead_steps();  // steps in windows that are decided
  return ended < 0 ? kInitialDecision : ended / compression.window_steps() - 1;
}

absl::StatusOr<bool> NeedsWindows(const proto::JobConfig& job) {
  bool any = false;
  for (const proto::Phase& phase : PhasesOf(job)) {
    SLUICE_ASSIGN_OR_RETURN(const bool needs_errors, PolicyNeedsErrors(CompressionOf(job, phase)));
    any = any || needs_errors;
  }
  return job.world().size() > 1 && any;
}

absl::StatusOr<int> ProfilersOf(const proto::JobConfig& job) {
  SLUICE_ASSIGN_OR_RETURN(const bool needs_windows, NeedsWindows(job));
  return needs_windows ? job.world().profilers() : 0;
}

PolicyPublisher::PolicyPublisher(const proto::JobConfig& job,
                                 std::unique_ptr<CompressionPolicyMaker> maker, Clock clock)
    : compression_(job.compression()),
      world_size_(job.world().size()),
      maker_(std::move(maker)),
      clock_(std::move(clock)) {}

absl::StatusOr<std::unique_ptr<PolicyPublisher>> PolicyPublisher::Create(
    const proto::JobConfig& job, Clock clock) {
  SLUICE_ASSIGN_OR_RETURN(auto maker, CreateCompressionPolicy(job.compression()));
  return std::make_unique<PolicyPublisher>(job, std::move(maker), std::move(clock));
}

absl::StatusOr<std::optional<proto::CompressionPolicy>> PolicyPublisher::Publish(
    CompressionPolicyMaker& maker, const proto::WindowStatistics& window, int64_t effective_step) {
  const absl::Time begin = clock_();
  SLUICE_ASSIGN_OR_RETURN(proto::CompressionPolicy policy, maker.Plan(window));
  if (policy.budget() > 0) policy.set_alpha(AlphaOf(compression_, window));
  policy.set_solve_seconds(absl::ToDoubleSeconds(clock_() - begin));
  if (SameChoices(policy, current_) || maker.Keeps(window, current_, policy)) {
    return std::optional<proto::CompressionPolicy>();
  }
  policy.set_version(current_.version() + 1);
  policy.set_effective_step(effective_step);
  current_ = policy;
  published_.push_back(policy);
  ++changes_;
  return std::optional<proto::CompressionPolicy>(std::move(policy));
}

// Of decisions that are forgotten, and plans that none of the others can be asked for.
void PolicyPublisher::Remember(int64_t window, int64_t last_step) {
  decisions_.push_back(
      {window, last_step, current_.version(), changes_, maker_->SaveState(), correction_.ratios()});
  if (decisions_.size() > kKeptDecisions) decisions_.pop_front();
  while (published_.size() > 1 &&
         published_[1].effective_step() <= decisions_.front().last_step + 1) {
    published_.pop_front();
  }
}

absl::StatusOr<std::optional<proto::CompressionPolicy>> PolicyPublisher::PublishFirst(
    const proto::WindowStatistics& sizes, int64_t step) {
  if (world_size_ == 1) return std::optional<proto::CompressionPolicy>();
  if (!maker_->NeedsErrors()) return Publish(*maker_, SizesFor(compression_, sizes, step), step);
  proto::Compression uniform = compression_;
  uniform.set_policy("uniform");
  SLUICE_ASSIGN_OR_RETURN(auto maker, CreateCompressionPolicy(uniform));
  return Publish(*maker, sizes, step);
}

absl::StatusOr<std::optional<proto::CompressionPolicy>> PolicyPublisher::Initial(
    const proto::WindowStatistics& sizes) {
  SLUICE_ASSIGN_OR_RETURN(auto policy, PublishFirst(sizes, compression_.warmup_steps()));
  Remember(kInitialDecision, -1);
  return policy;
}

absl::Status PolicyPublisher::SetCompression(const proto::Compression& compression) {
  if (google::protobuf::util::MessageDifferencer::Equals(compression, compression_)) {
    return absl::OkStatus();
  }
  SLUICE_ASSIGN_OR_RETURN(maker_, CreateCompressionPolicy(compression));
  compression_ = compression;
  return absl::OkStatus();
}

absl::StatusOr<std::optional<proto::CompressionPolicy>> PolicyPublisher::OnPhase(
    const proto::Compression& compression, const proto::WindowStatistics& sizes, int64_t step) {
  if (google::protobuf::util::MessageDifferencer::Equals(compression, compression_)) {
    return std::optional<proto::CompressionPolicy>();
  }
  SLUICE_RETURN_IF_ERROR(SetCompression(compression));
  // Not before the raw warm-up is over.
  SLUICE_ASSIGN_OR_RETURN(auto policy,
                          PublishFirst(sizes, std::max(step + 1, compression_.warmup_steps())));
  Remember(last_window_, step - 1);
  return policy;
}

absl::StatusOr<std::vector<proto::CompressionPolicy>> PolicyPublisher::Later(
    const proto::WindowStatistics& sizes) {
  std::vector<proto::CompressionPolicy> policies;
  if (world_size_ == 1 || maker_->NeedsErrors()) return policies;
  for (const int64_t step : maker_->LaterSteps()) {
    SLUICE_ASSIGN_OR_RETURN(auto policy,
                            Publish(*maker_, SizesFor(compression_, sizes, step), step));
    if (policy.has_value()) policies.push_back(*std::move(policy));
  }
  Remember(kInitialDecision, -1);
  return policies;
}

// nullptr: everything was raw, or it is forgotten.
const proto::CompressionPolicy* PolicyPublisher::InForce(int64_t step) const {
  const auto newest = std::find_if(
      published_.rbegin(), published_.rend(),
      [&](const proto::CompressionPolicy& policy) { return policy.effective_step() <= step; });
  return newest == published_.rend() ? nullptr : &*newest;
}

absl::Status PolicyPublisher::Prepare(int64_t total_steps, proto::WindowStatistics& window) {
  const proto::CompressionPolicy* const in_force = InForce(window.last_step());
  if (compression_.error_correction() == "on" && in_force != nullptr) {
    correction_.Apply(*in_force, window);
  }
  if (compression_.alpha_schedule().empty()) return absl::OkStatus();
  SLUICE_ASSIGN_OR_RETURN(const AlphaSchedule schedule,
                          AlphaSchedule::Parse(compression_.alpha_schedule()));
  window.set_alpha(schedule.At(EffectiveStep(compression_, window.last_step()), total_steps));
  return absl::OkStatus();
}

absl::StatusOr<std::optional<proto::CompressionPolicy>> PolicyPublisher::OnWindow(
    const proto::WindowStatistics& window) {
  if (window.window() <= last_window_) {
    return absl::InvalidArgumentError(
        absl::StrCat("window ", window.window(), " after window ", last_window_));
  }
  last_window_ = window.window();
  auto published = Publish(*maker_, window, EffectiveStep(compression_, window.last_step()));
  if (published.ok() || absl::IsUnavailable(published.status())) {
    Remember(window.window(), window.last_step());
  }
  if (!absl::IsUnavailable(published.status())) return published;
  const std::string why(published.status().message());
  if (why != warning_) {
    SLUICE_LOG(Warning, "no plan for window ", window.window(), ", the one in force stays: ", why);
  }
  warning_ = why;
  return std::optional<proto::CompressionPolicy>();
}

std::optional<proto::PolicyState> PolicyPublisher::SaveState(Step next_step) const {
  proto::PolicyState state;
  state.set_decided_window(kNoDecision);
  const auto newest = std::find_if(decisions_.rbegin(), decisions_.rend(), [&](const Decision& d) {
    return d.last_step < next_step.value;
  });
  if (newest == decisions_.rend()) {
    return decisions_.empty() ? std::make_optional(std::move(state)) : std::nullopt;
  }
  state.set_decided_window(newest->window);
  state.set_changes(newest->changes);
  state.set_maker(newest->maker);
  state.mutable_error_ratios()->Assign(newest->error_ratios.begin(), newest->error_ratios.end());
  for (const proto::CompressionPolicy& policy : published_) {
    if (policy.version() > newest->version) break;
    if (policy.effective_step() <= next_step.value) {
      *state.mutable_policy() = policy;
    } else {
      *state.add_pending() = policy;
    }
  }
  return state;
}

absl::Status PolicyPublisher::RestoreState(const proto::PolicyState& state) {
  uint32_t version = state.policy().version();
  for (const proto::CompressionPolicy& policy : state.pending()) {
    if (policy.version() > version) {
      version = policy.version();
      continue;
    }
    return absl::DataLossError(
        absl::StrCat("policy state: plan ", policy.version(), " after plan ", version));
  }
  SLUICE_RETURN_IF_ERROR(Annotate(maker_->RestoreState(state.maker()), "policy state"));
  correction_.Restore(state.error_ratios());
  published_.clear();
  if (state.policy().version() > 0) published_.push_back(state.policy());
  published_.insert(published_.end(), state.pending().begin(), state.pending().end());
  current_ = published_.empty() ? proto::CompressionPolicy() : published_.back();
  changes_ = static_cast<int>(state.changes());
  last_window_ = std::max<int64_t>(-1, state.decided_window());
  decisions_.clear();
  if (state.decided_window() == kNoDecision) return absl::OkStatus();
  const int64_t last_step = (last_window_ + 1) * compression_.window_steps() - 1;
  decisions_.push_back({state.decided_window(), last_step, current_.version(), changes_,
                        state.maker(), correction_.ratios()});
  return absl::OkStatus();
}

}  // namespace sluice
