#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "models/graph/axis_table.h"
#include "models/graph/graph.h"

namespace sluice::graph {

/// How operators use one dimension of a parameter or buffer.
struct AxisUse {
  bool makes = false;  ///< a layer's output channels: the layer makes this axis
  bool scales =
      false;  ///< per channel: biases, norms, depthwise filters, parameters that are added or multiplied
  bool reads = false;  ///< a layer's input channels
};

/// What all dimensions of a Graph are made of, and who uses them. Values and nodes are indices of the Graph.
struct AxisAnalysis {
  /// A parameter or buffer of which a value is only another view.
  struct Origin {
    ValueId state = -1;         // -1 = none
    std::vector<int32_t> dims;  // for each of the value's dimensions, that of the state; -1 = none
  };
  /// An integer operand that is the extent of an axis, or minus it, and so has to follow it.
  struct Literal {
    int32_t node = 0;
    int32_t operand = 0;
    int32_t element = -1;  // of a list of integers; -1 = the operand is one integer
    AxisId axis = 0;
    bool negative = false;
  };
  /// An operator that nothing was known of: all that it touches is fixed.
  struct Unsupported {
    int32_t node = 0;
    std::string why;
  };

  AxisTable table;
  std::vector<std::vector<AxisId>> axes;  // [value][dimension]
  std::vector<Origin> origins;            // [value]
  std::vector<std::vector<AxisUse>>
      uses;  // [value][dimension]; empty unless it is a parameter or buffer
  std::vector<Literal> literals;
  std::vector<Unsupported> unsupported;  // in the order of nodes
};

/// Follows every dimension through the graph (docs/channel_classes.md has the rule of each operator). Inputs, outputs,
/// positions and all that operators without a rule touch are fixed; the rest is as free as the operators allow.
/// Deterministic; linear in the graph but for concatenations of concatenations.
/// \error kInvalidArgument  ids out of range, a node that reads what is made later, or a shape that is not told
absl::StatusOr<AxisAnalysis> AnalyseAxes(const Graph& graph);

}  // namespace sluice::graph
