#include "models/graph/channel_groups.h"

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <utility>

#include "models/graph/operators.h"

namespace sluice::graph {
namespace {

int64_t Elements(const std::vector<int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

/// How often an operator multiplies, and the dimensions whose extents that is the product of.
struct Multiplications {
  int64_t count = 0;
  ValueId weight = -1;         // or the left operand
  std::vector<size_t> summed;  // dimensions of `weight` that are summed over
};

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

int64_t PerSample(const Graph& graph, const Node& node, std::pair<int64_t, int64_t> batches) {
  const int64_t count = Count(graph, node, false).count;
  const int64_t other = Count(graph, node, true).count;
  if (count == other || batches.first == batches.second) return count;
  return (count - other) / (batches.first - batches.second);
}

int64_t MacsOfUnit(const Graph& graph, const AxisAnalysis& analysis, const ChannelClass& channels,
                   std::pair<int64_t, int64_t> batches) {
  const AxisTable& table = analysis.table;
  double saved = 0;
  for (const Node& node : graph.nodes) {
    const Multiplications all = Count(graph, node, false);
    if (all.count == 0) continue;
    double stays = 1;
    const auto without = [&](AxisId axis) {
      if (!table.Contains(axis, channels.atom)) return;
      const auto units = table.UnitsAlong(axis, channels.atom);
      const int64_t hit = units ? std::count(units->begin(), units->end(), 0) : table.extent(axis);
      stays *= 1 - static_cast<double>(hit) / static_cast<double>(table.extent(axis));
    };
    for (AxisId axis : analysis.axes[node.outputs[0]]) without(axis);
    for (size_t dim : all.summed) without(analysis.axes[all.weight][dim]);
    if (stays < 1) saved += (1 - stays) * static_cast<double>(PerSample(graph, node, batches));
  }
  return static_cast<int64_t>(saved + 0.5);
}

}  // namespace

std::vector<Group> Groups(const Graph& graph, const AxisAnalysis& analysis,
                          const std::vector<ChannelClass>& classes) {
  std::vector<Group> groups;
  const std::pair<int64_t, int64_t> batches = Batches(graph);
  for (const ChannelClass& channels : classes) {
    if (!channels.prunable()) continue;
    std::vector<Group> of_class(static_cast<size_t>(channels.extent));
    const int64_t macs = MacsOfUnit(graph, analysis, channels, batches);
    for (size_t unit = 0; unit < of_class.size(); ++unit) {
      of_class[unit].class_id = channels.id;
      of_class[unit].unit = static_cast<int32_t>(unit);
      of_class[unit].macs = macs;
    }
    for (const std::vector<AxisPlace>* places : {&channels.makers, &channels.scalers}) {
      for (const AxisPlace& place : *places) {
        const Value& state = graph.values[place.state];
        if (!state.trainable) continue;
        const auto dim = static_cast<size_t>(place.dim);
        const auto units =
            analysis.table.UnitsAlong(analysis.axes[place.state][dim], channels.atom);
        if (!units) continue;
        for (Group& group : of_class) group.slices.push_back({state.state, place.dim, {}});
        for (size_t index = 0; index < units->size(); ++index) {
          if ((*units)[index] < 0) continue;
          of_class[static_cast<size_t>((*units)[index])].slices.back().indices.push_back(
              static_cast<int64_t>(index));
        }
        const int64_t per_index = Elements(state.shape) / state.shape[dim];
        for (Group& group : of_class) {
          group.elements += static_cast<int64_t>(group.slices.back().indices.size()) * per_index;
        }
      }
    }
    groups.insert(groups.end(), of_class.begin(), of_class.end());
  }
  return groups;
}

std::vector<Slice> SlicesToZero(const std::vector<Group>& groups) {
  std::vector<Slice> slices;
  std::map<std::pair<std::string, int>, size_t> found;
  std::vector<std::set<int64_t>> indices;
  for (const Group& group : groups) {
    for (const Slice& slice : group.slices) {
      const auto [at, is_new] = found.emplace(std::pair(slice.state, slice.dim), slices.size());
      if (is_new) {
        slices.push_back({slice.state, slice.dim, {}});
        indices.emplace_back();
      }
      indices[at->second].insert(slice.indices.begin(), slice.indices.end());
    }
  }
  for (size_t i = 0; i < slices.size(); ++i) {
    slices[i].indices.assign(indices[i].begin(), indices[i].end());
  }
  return slices;
}

int64_t Macs(const Graph& graph) {
  const std::pair<int64_t, int64_t> batches = Batches(graph);
  int64_t macs = 0;
  for (const Node& node : graph.nodes) macs += PerSample(graph, node, batches);
  return macs;
}

}  // namespace sluice::graph
