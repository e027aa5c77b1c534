#include "models/graph/macs.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

#include "models/graph/operators.h"

namespace sluice::graph {
namespace {

int64_t Elements(const std::vector<int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

const std::vector<int64_t>& ShapeOf(const Value& value, bool other) {
  return other && !value.other_shape.empty() ? value.other_shape : value.shape;
}

Multiplications Count(const Graph& graph, const Node& node, bool other) {
  Multiplications found;
  switch (OperatorOf(node).axes) {
    case AxisRule::kLinear:
      found.weight = TensorAt(node, 1);
      found.summed = {1};
      break;
    case AxisRule::kConvolution:
    case AxisRule::kTransposedConvolution: {
      const auto form = FormOf(node);
      found.weight = TensorAt(node, 1);
      if (!form || found.weight < 0) return {};
      const size_t rank = graph.values[found.weight].shape.size();
      for (size_t dim = 2; dim < rank; ++dim) found.summed.push_back(dim);
      if (form->transposed) {
        // Every input position meets the whole kernel: dimension 0 is summed, and positions are the input's.
        found.count = Elements(ShapeOf(graph.values[TensorAt(node, 0)], other));
        for (size_t dim = 1; dim < rank; ++dim) {
          found.count *= graph.values[found.weight].shape[dim];
        }
        found.summed.push_back(0);
        return found;
      }
      found.summed.push_back(1);
      break;
    }
    case AxisRule::kMatmul:
      found.weight = TensorAt(node, 0);
      break;
    case AxisRule::kAddmm:
      found.weight = TensorAt(node, 1);
      break;
    default:
      return {};
  }
  if (found.weight < 0 || node.outputs.empty()) return {};
  const std::vector<int64_t>& shape = ShapeOf(graph.values[found.weight], other);
  if (shape.empty()) return {};
  if (found.summed.empty()) found.summed = {shape.size() - 1};
  found.count = Elements(ShapeOf(graph.values[node.outputs[0]], other));
  for (size_t dim : found.summed) {
    if (dim < shape.size()) found.count *= shape[dim];
  }
  return found;
}

/// Samples in the example, and in the other one.
std::pair<int64_t, int64_t> Batches(const Graph& graph) {
  for (ValueId id : graph.inputs) {
    const Value& value = graph.values[id];
    for (size_t dim = 0; dim < std::min(value.shape.size(), value.other_shape.size()); ++dim) {
      if (value.shape[dim] != value.other_shape[dim]) {
        return {value.shape[dim], value.other_shape[dim]};
      }
    }
  }
  return {1, 1};
}

}  // namespace

Multiplications MultiplicationsOf(const Graph& graph, const Node& node) {
  Multiplications found = Count(graph, node, false);
  const int64_t other = Count(graph, node, true).count;
  const auto [batch, other_batch] = Batches(graph);
  if (found.count != other && batch != other_batch) {
    found.count = (found.count - other) / (batch - other_batch);
  }
  return found;
}

int64_t Macs(const Graph& graph) {
  int64_t macs = 0;
  for (const Node& node : graph.nodes) macs += MultiplicationsOf(graph, node).count;
  return macs;
}

int64_t TrainedElements(const Graph& graph) {
  int64_t parameters = 0;
  for (const Value& value : graph.values) {
    if (value.trainable) parameters += Elements(value.shape);
  }
  return parameters;
}

}  // namespace sluice::graph
