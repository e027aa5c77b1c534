#pragma once

#include <cstdint>
#include <vector>

#include "models/graph/axis_analysis.h"
#include "models/graph/channel_classes.h"
#include "models/graph/graph.h"
#include "models/graph/groups.h"
#include "models/graph/macs.h"  // what Group::macs counts

namespace sluice::graph {

/// One group per unit of each prunable class, in the order of (class, unit). All groups of a class have as many elements
/// and save as many multiplications.
/// \pre `classes` are FindClasses' of the same graph
std::vector<Group> Groups(const Graph& graph, const AxisAnalysis& analysis,
                          const std::vector<ChannelClass>& classes);

/// What to set to zero so that the whole network computes what it would without `groups`: their slices, one per parameter
/// and dimension, in the order of the first group that has it.
std::vector<Slice> SlicesToZero(const std::vector<Group>& groups);

}  // namespace sluice::graph
