#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace sluice::graph {

/// Index of a Value in Graph::values.
using ValueId = int32_t;

/// One argument of an operator: a tensor (or a list of them), or a constant that the importer has resolved.
/// monostate = None. A list of tensors (cat, stack) is a vector of ValueId.
struct Operand {
  std::variant<std::monostate, ValueId, std::vector<ValueId>, bool, int64_t, double, std::vector<int64_t>, std::string>
      of;
};

/// A tensor: an input, a parameter or buffer, or what a node makes.
struct Value {
  std::vector<int64_t> shape;        // with the example inputs
  std::vector<int64_t> other_shape;  // with another batch size: extents that differ depend on the batch
  std::string state;                 // name of the parameter or buffer; empty = none
  bool trainable = false;            // a parameter
  int32_t producer = -1;             // index in Graph::nodes; -1 = an input, parameter or buffer
};

/// One operator, as LibTorch names it.
struct Node {
  std::string op;  // "aten::conv2d", never with a trailing underscore: in-place operators are told as their others
  std::vector<Operand> operands;  // in the order of the operator's schema
  std::vector<ValueId> outputs;
  std::string place;  // scope and source line, for messages
};

/// A network as operators and tensors, in an order in which it can be computed. Control flow has been resolved, and
/// sub-modules have been inlined. Ids are the same every time that the same network is imported.
struct Graph {
  std::vector<Value> values;
  std::vector<Node> nodes;
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
};

}  // namespace sluice::graph
