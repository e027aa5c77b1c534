#include "actors/policy_publisher.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "policies/compression/codec_choice.h"
#include "policies/compression/effective_step.h"

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
  SLUICE_ASSIGN_OR_RETURN(const bool needs_errors, PolicyNeedsErrors(job.compression()));
  return job.world().size() > 1 && needs_errors;
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
  policy.set_solve_seconds(absl::ToDoubleSeconds(clock_() - begin));
  if (SameChoices(policy, current_) || maker.Keeps(window, current_, policy)) {
    return std::optional<proto::CompressionPolicy>();
  }
  policy.set_version(current_.version() + 1);
  policy.set_effective_step(effective_step);
  current_ = policy;
  ++changes_;
  return std::optional<proto::CompressionPolicy>(std::move(policy));
}

absl::StatusOr<std::optional<proto::CompressionPolicy>> PolicyPublisher::Initial(
    const proto::WindowStatistics& sizes) {
  if (world_size_ == 1) return std::optional<proto::CompressionPolicy>();
  const int64_t step = compression_.warmup_steps();
  if (!maker_->NeedsErrors()) return Publish(*maker_, SizesFor(compression_, sizes, step), step);
  proto::Compression uniform = compression_;
  uniform.set_policy("uniform");
  SLUICE_ASSIGN_OR_RETURN(auto maker, CreateCompressionPolicy(uniform));
  return Publish(*maker, sizes, step);
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
  return policies;
}

absl::StatusOr<std::optional<proto::CompressionPolicy>> PolicyPublisher::OnWindow(
    const proto::WindowStatistics& window) {
  if (window.window() <= last_window_) {
    return absl::InvalidArgumentError(
        absl::StrCat("window ", window.window(), " after window ", last_window_));
  }
  last_window_ = window.window();
  auto published = Publish(*maker_, window, EffectiveStep(compression_, window.last_step()));
  if (!absl::IsUnavailable(published.status())) return published;
  const std::string why(published.status().message());
  if (why != warning_) {
    SLUICE_LOG(Warning, "no plan for window ", window.window(), ", the one in force stays: ", why);
  }
  warning_ = why;
  return std::optional<proto::CompressionPolicy>();
}

}  // namespace sluice
