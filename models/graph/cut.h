#pragma once

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "models/graph/axis_analysis.h"
#include "models/graph/channel_classes.h"
#include "models/graph/graph.h"
#include "models/graph/groups.h"

namespace sluice::graph {

/// Units of one class that go.
struct Removal {
  int32_t class_id = 0;
  std::vector<int64_t> units;  // in any order
};

/// For each index of an atom whether it stays. Atoms that are not there stay whole.
using AtomMasks = absl::flat_hash_map<AxisId, std::vector<bool>>;

/// What remains of parameters, buffers and constants of what stays of atoms. A dimension of which nothing stays has no
/// indices.
Cut CutAtoms(const Graph& graph, const AxisAnalysis& analysis, const AtomMasks& masks);

/// What remains of parameters, buffers and constants without the units. Where these units' groups are zero, the network
/// of that computes what the whole one does.
/// \pre `classes` are FindClasses' of the same graph
/// \error kInvalidArgument  a class that does not exist, is not prunable, or would be left empty; a unit out of range
absl::StatusOr<Cut> MakeCut(const Graph& graph, const AxisAnalysis& analysis,
                            const std::vector<ChannelClass>& classes,
                            const std::vector<Removal>& removals);

}  // namespace sluice::graph
