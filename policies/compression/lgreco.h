#pragma once

#include <string>

#include "policies/compression/compression_policy.h"
#include "policies/compression/plan.h"

namespace sluice {

/// "lgreco": the least bytes whose error stays within alpha times the uniform reference's.
///
/// Chooses per eligible layer among its options with SolveKnapsack. The error of an option is
/// ||x - decode(encode(x))|| (metric l2) or its square (l2sq); raw has none. Left out are options
/// without a finite error, and options with more error than sending nothing, except the reference.
///
/// What always holds: the plan's error is within the budget, and at alpha >= 1 its bytes are at
/// most the reference's. lower_bound_bytes is the least that any plan within the budget could send:
/// what the plan sends, to rounding, when the solver proved it. Source: Alimohammadi et al. 2024,
/// "L-GreCo: Layerwise-adaptive gradient compression", 4.
class LGrecoPolicy : public CompressionPolicyMaker {
 public:
  explicit LGrecoPolicy(const proto::Compression& config) : config_(config) {}
  bool NeedsErrors() const override { return true; }
  absl::StatusOr<proto::CompressionPolicy> Plan(const proto::WindowStatistics& window) override;
  /// While `current` is within the budget and `fresh` saves no more than hysteresis of its bytes.
  bool Keeps(const proto::WindowStatistics& window, const proto::CompressionPolicy& current,
             const proto::CompressionPolicy& fresh) const override;

  /// What a plan is measured against: its error is the budget's unit, and it is the plan where none is better.
  struct Reference {
    OptionIndices options;  ///< raw on layers that are not eligible
    std::string policy;     ///< that compares with it, for reasons
    std::string name;       ///< its own, for reasons
  };
  /// The same against any reference. uniform_bytes is what the reference sends.
  absl::StatusOr<proto::CompressionPolicy> PlanAgainst(const proto::WindowStatistics& window,
                                                       const Reference& reference);

 private:
  proto::Compression config_;
};

}  // namespace sluice
