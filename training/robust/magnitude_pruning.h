#pragma once

#include <cstdint>

#include "absl/types/span.h"
#include "training/robust/weight_matrix.h"

namespace sluice {

/// Which weights stay for sure, beside the largest.
enum class KeepLines {
  kRows,            ///< the largest weight of every row: no output is cut off
  kRowsAndColumns,  ///< of every column of a group too: what makes a matrix singular most often stays away
};

/// Sets the smallest weights to 0 until a share of `sparsity` of them is, or until only the largest of each row (and
/// column) are left. By (magnitude, index): deterministic, and what was 0 goes first, so pruning again to no larger
/// a share changes nothing.
/// \param shape    of `weights`; its values are not looked at
/// \param sparsity  in [0, 1)
void PruneByMagnitude(const WeightMatrix& shape, double sparsity, KeepLines keep,
                      absl::Span<float> weights);

/// Share of the weights that is 0.
double SparsityOf(absl::Span<const float> weights);

}  // namespace sluice
