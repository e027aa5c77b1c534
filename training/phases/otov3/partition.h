#pragma once

#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "training/phases/otov3/group_view.h"

namespace sluice::otov3 {

/// What a selection of groups to remove keeps to.
struct PartitionRules {
  double target = 0.5;       ///< share of all groups, in [0, 1)
  int divisor = 8;           ///< units that a class keeps are a multiple of it; at least 1
  double max_removed = 0.9;  ///< share of a class's units, in [0, 1]
};

/// floor(groups * min(target, 0.999)).
int RequestedGroups(int groups, double target);

/// The groups to remove, by number. The most redundant RequestedGroups() go, equal scores in the order of (class,
/// unit), but no more of a class than the rules allow; then the units kept of every class that loses some are
/// rounded to the nearest multiple of the divisor (half: up), at least one, by its own scores. A class with no more
/// units than the divisor keeps all. Pure.
/// \param forced  removed whatever their score: a part of an earlier result with the same rules; empty = none
/// \error kOutOfRange  a score that is not finite: training diverged
absl::StatusOr<std::vector<bool>> Partition(absl::Span<const double> scores,
                                            absl::Span<const ClassRange> classes,
                                            const PartitionRules& rules,
                                            const std::vector<bool>& forced);

/// Goes down the scores and removes each group with which what is removed is still valid, up to `most` of them
/// (H2SPG). Ties as in Partition. Fewer where no more fit.
/// \param forced  removed whatever their score: a part of an earlier result; empty = none
/// \param valid   whether the network without these groups is one; called once per group at the most
/// Source: Chen et al., 2023, "OTOv3: automatic architecture-agnostic neural network training and compression from
/// structured pruning to erasing operators".
/// \error kOutOfRange  as Partition
absl::StatusOr<std::vector<bool>> SelectValid(
    absl::Span<const double> scores, int most, const std::vector<bool>& forced,
    const std::function<bool(const std::vector<bool>& removed)>& valid);

}  // namespace sluice::otov3
