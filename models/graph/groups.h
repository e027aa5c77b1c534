#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "models/graph/graph.h"

namespace sluice::graph {

/// Some of a parameter's or buffer's indices along one dimension, with all of its other dimensions.
struct Slice {
  std::string state;             // the parameter's or buffer's name
  int dim = 0;
  std::vector<int64_t> indices;  // ascending
};

/// A zero-invariant group: when all its slices are zero, what they make is zero for every input, and a network
/// without them computes the same. One output channel with all that is coupled to it, one head, one operator.
/// Its slices are of what makes the channel and of what scales it (batch norm), not of what reads it.
struct Group {
  int32_t class_id = 0;       // axes that are cut together have one class
  int32_t unit = 0;           // index in the class
  std::vector<Slice> slices;  // parameters alone; no element is in two slices of one class
  int64_t elements = 0;       // of all slices
  int64_t macs = 0;           // multiplications saved without it, for one sample, at the full size of all others
};

/// What a smaller network keeps of a Graph.
struct Cut {
  /// Parameters and buffers that shrink: along each of these dimensions, the indices that stay.
  std::vector<Slice> kept;
  /// Constants that change, each at this one use.
  struct Constant {
    int32_t node = 0;      // in Graph::nodes
    int32_t operand = 0;   // in Node::operands
    int32_t element = -1;  // of a list of integers; -1 = the operand is one integer
    int64_t value = 0;
  };
  std::vector<Constant> constants;
  /// Nodes that go, ascending, with the parameters and buffers that only they read. Lists of tensors lose what they make.
  std::vector<int32_t> gone;
  /// Values that gone nodes made, and what is read in their place, which is not gone.
  std::vector<std::pair<ValueId, ValueId>> instead;
};

}  // namespace sluice::graph
