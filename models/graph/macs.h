#pragma once

#include <cstdint>
#include <vector>

#include "models/graph/graph.h"

namespace sluice::graph {

/// How often an operator multiplies: layers and products of matrices, as papers count FLOPs. Nothing else counts.
struct Multiplications {
  int64_t count = 0;           // for one more sample; for all where the batch has no part in it
  ValueId weight = -1;         // or the left matrix
  std::vector<size_t> summed;  // dimensions of `weight` that it sums over
};

/// The count is the product of the extents of the operator's output and of `summed`, but for transposed convolutions:
/// these have the positions of their input.
Multiplications MultiplicationsOf(const Graph& graph, const Node& node);

/// Multiplications of one sample in the whole graph.
int64_t Macs(const Graph& graph);

/// Elements of all parameters that are trained, tied ones once.
int64_t TrainedElements(const Graph& graph);

}  // namespace sluice::graph
