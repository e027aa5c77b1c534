#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "models/graph/axis_analysis.h"
#include "models/graph/graph.h"
#include "models/graph/groups.h"
#include "models/graph/stretches.h"

namespace sluice::graph {

/// What remains without the stretches. Sums lose terms, concatenations lose channels, and who reads these loses their
/// columns; a joint of which one tensor is left is passed by; what then nobody reads goes too. Where the parameters of
/// these stretches are zero, the network of that computes what the whole one does.
/// \pre `stretches` are FindStretches' of the same graph
/// \error kInvalidArgument  a stretch that does not exist or cannot be erased, or ErasureBreach
absl::StatusOr<Cut> CutStretches(const Graph& graph, const AxisAnalysis& analysis,
                                 const std::vector<Stretch>& stretches,
                                 const std::vector<int32_t>& erased);

}  // namespace sluice::graph
