#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "models/graph/axis_analysis.h"
#include "models/graph/channel_classes.h"
#include "models/graph/channel_groups.h"
#include "models/graph/cut.h"
#include "models/graph/graph.h"
#include "tests/models/graph/reference.h"

namespace sluice::graph {

/// A graph with all that is known of its channels. One unit is a multiple of the divisor, unless told otherwise.
struct Analysed {
  Graph graph;
  AxisAnalysis axes;
  std::vector<ChannelClass> classes;

  /// The class that a state's dimension is made of; the first if there are several, and none ends the test.
  const ChannelClass& ClassOf(const std::string& state, size_t dim = 0) const {
    for (size_t id = 0; id < graph.values.size(); ++id) {
      if (graph.values[id].state != state) continue;
      for (const ChannelClass& channels : classes) {
        if (axes.table.Contains(axes.axes[id][dim], channels.atom)) return channels;
      }
    }
    ADD_FAILURE() << state << " has no class along " << dim;
    static const ChannelClass kNone;
    return kNone;
  }
  size_t Prunable() const {
    return static_cast<size_t>(
        std::count_if(classes.begin(), classes.end(),
                      [](const ChannelClass& channels) { return channels.prunable(); }));
  }
};

inline ClassOptions EveryUnit() {
  ClassOptions options;
  options.divisor = 1;
  return options;
}

inline Analysed Analyse(Graph graph, const ClassOptions& options = EveryUnit()) {
  auto axes = AnalyseAxes(graph);
  EXPECT_TRUE(axes.ok()) << axes.status();
  auto classes = FindClasses(graph, *axes, options);
  EXPECT_TRUE(classes.ok()) << classes.status();
  return {std::move(graph), *std::move(axes), *std::move(classes)};
}

/// Some of each class's units, at least one, never all.
inline std::vector<Removal> SomeUnits(const std::vector<ChannelClass>& classes, uint64_t seed) {
  std::vector<Removal> removals;
  for (const ChannelClass& channels : classes) {
    if (!channels.prunable()) continue;
    Removal removal = {channels.id, {}};
    const RandomKey key = RandomKey(seed).With(static_cast<uint64_t>(channels.id));
    const auto stays = static_cast<int64_t>(key.Bits(0) % static_cast<uint64_t>(channels.extent));
    for (int64_t unit = 0; unit < channels.extent; ++unit) {
      if (unit != stays && key.Bits(static_cast<uint64_t>(unit) + 1) % 10 < 4) {
        removal.units.push_back(unit);
      }
    }
    if (removal.units.empty()) removal.units.push_back(stays == 0 ? 1 : 0);
    removals.push_back(removal);
  }
  return removals;
}

/// How far the network without these units is from the whole one with their groups at zero, for both batch sizes.
inline double CutDistance(const Analysed& analysed, const std::vector<Removal>& removals,
                          uint64_t seed) {
  std::vector<Group> gone;
  for (const Group& group : Groups(analysed.graph, analysed.axes, analysed.classes)) {
    for (const Removal& removal : removals) {
      if (removal.class_id == group.class_id &&
          std::find(removal.units.begin(), removal.units.end(), group.unit) !=
              removal.units.end()) {
        gone.push_back(group);
      }
    }
  }
  const auto cut = MakeCut(analysed.graph, analysed.axes, analysed.classes, removals);
  EXPECT_TRUE(cut.ok()) << cut.status();
  const Tensors states = RandomStates(analysed.graph, seed);
  Graph smaller = analysed.graph;
  Tensors kept = states;
  ApplyCut(*cut, &smaller, &kept);
  double most = 0;
  for (bool other : {false, true}) {
    const std::vector<Tensor> inputs = RandomInputs(analysed.graph, seed + 1, other);
    most = std::max(most, Distance(Run(analysed.graph, Masked(states, SlicesToZero(gone)), inputs),
                                   Run(smaller, kept, inputs)));
  }
  return most;
}

}  // namespace sluice::graph
