#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "models/graph/axis_analysis.h"
#include "models/graph/graph.h"
#include "models/graph/operators.h"

namespace sluice::graph {

/// The rules by which AnalyseAxes follows dimensions through one operator after the other.
class AxisRules {
 public:
  AxisRules(const Graph& graph, AxisAnalysis* analysis) : graph_(graph), analysis_(*analysis) {}

  /// Gives the node's outputs their axes and unifies what the operator ties together.
  /// \error kInvalidArgument  the operator has no rule, or none for operands like these; the axes of its inputs may have
  /// been refined and unified, those of its outputs are not set
  absl::Status Apply(int32_t node);
  /// Fixes all that the node touches, and gives its outputs fixed axes.
  void GiveUp(int32_t node, absl::string_view why);

 private:
  using Axes = std::vector<AxisId>;
  enum class Use { kMakes, kScales, kReads };

  absl::Status Check(const Node& node) const;
  absl::Status Dispatch(int32_t index, const Node& node);

  // axis_rules.cc
  absl::Status Factory(const Node& node);
  absl::Status Copy(const Node& node);
  absl::Status Same(const Node& node);
  absl::Status ByPosition(const Node& node);
  absl::Status Elementwise(const Node& node);
  absl::Status Along(const Node& node);
  absl::Status Reduce(const Node& node, bool zeros_count);

  // axis_rules_layers.cc
  absl::Status Linear(const Node& node);
  absl::Status Addmm(const Node& node);
  absl::Status Matmul(const Node& node);
  absl::Status Convolution(int32_t index, const Node& node);
  absl::Status BatchNorm(const Node& node);
  absl::Status GroupNorm(int32_t index, const Node& node);
  absl::Status LayerNorm(const Node& node);
  absl::Status Prelu(const Node& node);
  absl::Status Embedding(const Node& node);
  absl::Status Spatial(const Node& node);
  absl::Status Pad(const Node& node);
  absl::Status Product(const Node& node, ValueId left, ValueId right, Axes* out);
  void Attach(const Node& node, size_t operand, AxisId axis);

  // axis_rules_moves.cc
  absl::Status Reshape(int32_t index, const Node& node, bool by_literal);
  absl::Status TransposeLast(const Node& node);
  absl::Status Transpose(const Node& node);
  absl::Status Permute(const Node& node);
  absl::Status Expand(int32_t index, const Node& node);
  absl::Status ExpandAs(const Node& node);
  absl::Status Cat(const Node& node);
  absl::Status Stack(const Node& node);
  absl::Status Split(int32_t index, const Node& node);
  absl::Status Slice(int32_t index, const Node& node);
  absl::Status Select(const Node& node);
  absl::Status Glu(const Node& node);
  absl::Status PixelShuffle(const Node& node);
  absl::Status Rearrange(const Node& node, const std::vector<size_t>& from);

  const Value& value(ValueId id) const { return graph_.values[id]; }
  const Axes& axes(ValueId id) const { return analysis_.axes[id]; }
  size_t rank(ValueId id) const { return graph_.values[id].shape.size(); }
  AxisTable& table() { return analysis_.table; }

  /// The tensor that is operand `i`. \error kInvalidArgument  it is none
  absl::StatusOr<ValueId> Tensor(const Node& node, size_t i) const;
  /// The dimension that operand `i` is, of a tensor of this rank. \error kInvalidArgument
  absl::StatusOr<size_t> Dimension(const Node& node, size_t i, size_t rank) const;
  /// A new axis for a dimension of an output: fixed if its extent depends on the batch.
  AxisId Fresh(ValueId id, size_t dim);
  AxisId FreshPosition(ValueId id, size_t dim);
  void Mark(ValueId id, size_t dim, Use use);
  void MarkAll(ValueId id, Use use);
  /// Broadcasts tensors, and unifies what meets.
  Axes Broadcast(const Node& node, const std::vector<ValueId>& tensors, size_t rank);
  void AddLiteral(int32_t node, int32_t operand, int32_t element, AxisId axis,
                  bool negative = false);
  void SetOutput(const Node& node, size_t output, Axes axes);
  /// Sets the first output to be a view of `of`, dimension by dimension. \param from  of each, that of `of`; -1 = none
  void SetView(const Node& node, ValueId of, Axes axes, const std::vector<int32_t>& from);

  const Graph& graph_;
  AxisAnalysis& analysis_;
};

}  // namespace sluice::graph
