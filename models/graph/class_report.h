#pragma once

#include <string>
#include <vector>

#include "models/graph/axis_analysis.h"
#include "models/graph/channel_classes.h"
#include "models/graph/graph.h"

namespace sluice::graph {

/// A table of all classes for people: units, parameters of one unit, who makes and who reads them, and why those that
/// cannot be pruned cannot; below it, the operators that nothing is known of and what that costs. Lines end with '\n'.
std::string ClassTable(const Graph& graph, const AxisAnalysis& analysis,
                       const std::vector<ChannelClass>& classes);

/// The graph for Graphviz (`dot -Tsvg`): operators as boxes, with the color of the prunable class that is in their output,
/// and unsupported ones in red.
std::string ClassDot(const Graph& graph, const AxisAnalysis& analysis,
                     const std::vector<ChannelClass>& classes);

}  // namespace sluice::graph
