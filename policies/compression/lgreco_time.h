#pragma once

#include "policies/compression/compression_policy.h"

namespace sluice {

/// "lgreco_time": the least time that communication adds to a step, at an error within alpha times
/// the uniform reference's; and where that can be had with less error, the least error.
///
/// 1. Plans that could be best: raw, the reference, lgreco's, and for starts j of the buckets the
///    exact knapsack of seconds over the layers in buckets j and later, with those before raw:
///    what is sent before the critical bucket is free (docs/planner.md).
/// 2. The one with the least PredictExposed is relaxed: layer by layer the change that removes the
///    most error per second, as long as the last byte comes no later, or not after backward.
/// 3. The gate: unless compression saves kLeastSaving of the predicted step, the plan is raw, and
///    its reason says that the link is not the bottleneck.
///
/// Without times (the first window before any report) it is lgreco. Never predicted slower than
/// raw, the reference (where it is within the budget) or lgreco.
class LGrecoTimePolicy : public CompressionPolicyMaker {
 public:
  /// Share of a step below which compression is not worth its error.
  static constexpr double kLeastSaving = 0.01;

  explicit LGrecoTimePolicy(const proto::Compression& config) : config_(config) {}
  bool NeedsErrors() const override { return true; }
  absl::StatusOr<proto::CompressionPolicy> Plan(const proto::WindowStatistics& window) override;
  bool Keeps(const proto::WindowStatistics& window, const proto::CompressionPolicy& current,
             const proto::CompressionPolicy& fresh) const override;

 private:
  proto::Compression config_;
};

}  // namespace sluice
