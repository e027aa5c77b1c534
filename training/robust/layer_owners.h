#pragma once

#include <vector>

#include "absl/types/span.h"
#include "training/robust/weight_matrix.h"

namespace sluice {

/// Which rank computes what depends on a layer's weights alone, by layer: the most work goes first, rank by rank.
/// A function of the shapes and the world's size, so equal on all ranks.
/// \pre world_size >= 1
std::vector<int> LayerOwners(absl::Span<const WeightMatrix> layers, int world_size);

}  // namespace sluice
