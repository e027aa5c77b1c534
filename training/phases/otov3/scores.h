#pragma once

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "training/phases/otov3/group_view.h"

namespace sluice::otov3 {

/// How redundant each group is, the higher the more; pure, in fp64. `elements` of each group, at least 1. A
/// group that is zero already scores 0 here and counts for no norm: PutZerosFirst, after all else.

/// Half of each: the cosine of x and d (above 0: to shrink it lowers the loss too) and 1 / (|x| / elements), both
/// divided by their norm over all groups. In [-1, 1].
/// Source: Chen et al., 2023, "OTOv2: automatic, generic, user-friendly" (DHSPG).
std::vector<double> DhspgScores(absl::Span<const GroupSums> sums,
                                absl::Span<const int64_t> elements);

/// The negative of a fifth of each: |x|, |x| / elements, cosine + 1, |<x, d>| and <x, d>^2 / 2, each divided by its
/// norm over all groups. In [-1, 0].
/// Source: Chen et al., 2024, "HESSO: towards automatic efficient and user friendly any neural network training and
/// pruning".
std::vector<double> HessoScores(absl::Span<const GroupSums> sums,
                                absl::Span<const int64_t> elements);

/// average = keep * average + (1 - keep) * scores; an empty average becomes the scores.
void AddToAverage(absl::Span<const double> scores, double keep, std::vector<double>& average);

/// The more a group costs (macs over their mean, to the power of kappa), the more redundant it is: positive scores
/// are multiplied, negative ones divided. Groups without macs keep their score.
void WeighByCost(absl::Span<const double> macs, double kappa, std::vector<double>& scores);

/// Groups that are zero already become the most redundant ones, all alike, whatever groups cost.
void PutZerosFirst(absl::Span<const GroupSums> sums, std::vector<double>& scores);

}  // namespace sluice::otov3
