#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "policies/solver/front.h"

namespace sluice {

/// One edge of a layer's lower hull: accept `error_rise` more error, save `size_drop`.
struct HullStep {
  int32_t layer = 0;
  int32_t target = 0;  ///< position in the layer's front after the step
  int64_t size_drop = 0;
  int64_t error_rise = 0;
};

/// The edges of all hulls, most size saved per error first; of equals the lower layer, then the
/// lower error. Any prefix is a consistent state: a layer's edges come in their order.
std::vector<HullStep> StepsBySlope(const std::vector<Front>& fronts);

/// The linear relaxation: layers may mix two neighbouring hull options.
///
/// It starts with every layer at its least error and walks the steps by slope until the budget is
/// used; the step that fits in part, the critical one, gives the multiplier. All bounds are exact
/// integers. Source: Sinha & Zoltners 1979, "The multiple-choice knapsack problem".
class Relaxation {
 public:
  /// \pre the least errors fit in the budget
  Relaxation(const std::vector<Front>& fronts, int64_t budget);

  /// No feasible assignment is smaller: the relaxation's value, rounded up to an integer.
  int64_t bound() const { return bound_; }
  /// The relaxation's value as a double that is never above it.
  double value() const { return value_; }

  /// The fronts without the options that no assignment of size <= `threshold` within the budget
  /// uses, proven by their reduced cost.
  std::vector<Front> Filter(const std::vector<Front>& fronts, int64_t threshold) const;

  /// A feasible assignment near the relaxation: positions in the fronts.
  std::vector<int32_t> RoundDown(const std::vector<Front>& fronts) const;

 private:
  std::vector<HullStep> steps_;
  int64_t budget_;
  size_t critical_ = 0;  // steps_[0, critical_) are taken in full
  int64_t slack_ = 0;    // budget left after them
  int64_t bound_ = 0;
  double value_ = 0;
};

}  // namespace sluice
