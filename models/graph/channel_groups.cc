#include "models/graph/channel_groups.h"

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <utility>

#include "models/graph/macs.h"

namespace sluice::graph {
namespace {

int64_t Elements(const std::vector<int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

int64_t MacsOfUnit(const Graph& graph, const AxisAnalysis& analysis, const ChannelClass& channels) {
  const AxisTable& table = analysis.table;
  double saved = 0;
  for (const Node& node : graph.nodes) {
    const Multiplications all = MultiplicationsOf(graph, node);
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
    if (stays < 1) saved += (1 - stays) * static_cast<double>(all.count);
  }
  return static_cast<int64_t>(saved + 0.5);
}

}  // namespace

std::vector<Group> Groups(const Graph& graph, const AxisAnalysis& analysis,
                          const std::vector<ChannelClass>& classes) {
  std::vector<Group> groups;
  for (const ChannelClass& channels : classes) {
    if (!channels.prunable()) continue;
    std::vector<Group> of_class(static_cast<size_t>(channels.extent));
    const int64_t macs = MacsOfUnit(graph, analysis, channels);
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

}  // namespace sluice::graph
