#pragma once

#include "absl/strings/string_view.h"
#include "training/phases/otov3/group_view.h"

namespace sluice::otov3 {

/// How a redundant group is driven to zero.
struct HalfSpaceRule {
  double penalty = 1e-3;  ///< base of lambda
  double amplify = 2;     ///< of the least lambda that makes the norm shrink
  double ceiling = 10;    ///< most lambda, as a multiple of the base
  double epsilon = 0.95;  ///< a group goes where <trial, x> < epsilon |x|^2; in [0, 1)
};

/// The source's values: as above for sgd, larger ones for optimisers that divide by the gradient's size.
/// \param optimizer  kind, as in the job
HalfSpaceRule RuleFor(absl::string_view optimizer);

/// Lambda for one group. Where the optimiser's direction lets its norm grow (<x, d> < 0), any lambda within
///
///     lo = -<x, d> / |x|  <  lambda  <  hi = -|d|^2 |x| / <x, d>
///
/// makes the norm shrink and still leaves a direction of descent; lo / hi = cos^2(x, d). The ceiling may lie below
/// lo: the deadline is what such a group is zero by.
/// Source: DHSPG, as scores.h.
double PenaltyOf(const GroupSums& sums, const HalfSpaceRule& rule);

/// What to do with one group after the optimiser's step.
struct HalfSpaceMove {
  double shrink = 0;     ///< subtract this times x, x the values before the step
  bool project = false;  ///< the trial has left the half-space: the group becomes zero
};

/// \param may_project  the phase is that far
HalfSpaceMove MoveOf(const GroupSums& sums, const HalfSpaceRule& rule, double learning_rate,
                     bool may_project);

}  // namespace sluice::otov3
