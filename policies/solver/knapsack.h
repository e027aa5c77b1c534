#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"

namespace sluice {

/// One way to encode a layer: both non-negative integers, in units of the caller's choice.
struct KnapsackOption {
  int64_t size = 0;
  int64_t error = 0;
};

/// Multiple-choice knapsack: one option per layer, least total size within the error budget.
/// Layers without options are not allowed. Sums must stay below 2^62.
struct KnapsackInstance {
  std::vector<std::vector<KnapsackOption>> layers;
  int64_t budget = 0;
};

/// \invariant feasible => error <= budget; !feasible => `choice` is the assignment of least error
struct KnapsackSolution {
  bool feasible = false;
  std::vector<int> choice;  ///< index into each layer's options as given
  int64_t size = 0;
  int64_t error = 0;
  double lower_bound = 0;  ///< certified: no feasible assignment is smaller (LP bound, or size if optimal)
  bool optimal = false;    ///< proven: least size, then least error

  /// (size - lower_bound) / lower_bound, 0 when size equals the bound.
  double gap() const;
};

struct KnapsackLimits {
  /// Most live states over all rounds; when it is reached the best feasible assignment found is returned
  /// with its gap.
  int64_t max_states = 50'000'000;
};

/// Exact: least size, then least error; among equals the lexicographically smallest choice for up to
/// `kCanonicalLayers` layers, any one beyond.
/// Method: dominance, LP relaxation on the lower convex hulls, suffix bounds, list-based Pareto dynamic
/// programming with a growing bound (docs/planner.md; Kellerer, Pferschy & Pisinger 2004, ch. 11).
/// An infeasible instance is an ordinary answer, not an error.
/// \error kInvalidArgument  no layer's options empty, negative numbers, overflow: names layer and option
absl::StatusOr<KnapsackSolution> SolveKnapsack(const KnapsackInstance& instance,
                                               const KnapsackLimits& limits = {});

inline constexpr int kCanonicalLayers = 16;

}  // namespace sluice
