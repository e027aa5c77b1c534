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
/// Layers without options are not allowed. The sum over layers of the largest sizes must stay below
/// 2^62, and so must that of the largest errors.
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
  /// Certified: no feasible assignment is smaller. The value of the linear relaxation, never
  /// rounded up; raised to what was searched without finding anything when the limit cut the proof.
  /// 0 if infeasible.
  double lower_bound = 0;
  bool optimal = false;  ///< proven: least size, then least error

  /// How far from the least size this can be: 0 when optimal or infeasible, else
  /// (size - lower_bound) / lower_bound, infinite above a bound of 0.
  double gap() const;
};

struct KnapsackLimits {
  /// Most states examined over all rounds: about 10 ns each, and 50 bytes for those that live at
  /// once. When they are used up, the best feasible assignment found is returned with its gap.
  int64_t max_states = 20'000'000;
};

/// Exact: least size, then least error; among equals the lexicographically smallest choice for up
/// to `kCanonicalLayers` layers (unless the limit cuts the search for it), any one beyond, always
/// the same. Integers throughout, so every machine gives the same answer. Method: dominance, LP
/// relaxation on the lower convex hulls, suffix bounds, list-based Pareto dynamic programming with
/// a growing bound (docs/planner.md; Kellerer, Pferschy & Pisinger 2004, ch. 11). An infeasible
/// instance is an ordinary answer, not an error: per layer the least error, of equals the least
/// size, then the lowest index. \error kInvalidArgument  a layer without options, a negative
/// number, overflow: names layer and option
absl::StatusOr<KnapsackSolution> SolveKnapsack(const KnapsackInstance& instance,
                                               const KnapsackLimits& limits = {});

inline constexpr int kCanonicalLayers = 16;

}  // namespace sluice
