#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "models/data/data_shape.h"
#include "models/graph/axis_analysis.h"
#include "models/graph/groups.h"
#include "models/graph/imported.h"
#include "models/graph/stretches.h"
#include "models/zoo/network.h"

namespace sluice::graph {

/// A network, and which of its operators can be erased as a whole.
struct Erasable {
  Imported imported;
  AxisAnalysis axes;
  std::vector<Stretch> stretches;  // probed

  /// Of all that can be erased, in the order of stretches.
  std::vector<Group> groups() const;
};

/// Imports a network as ImportAsSaved does, finds its stretches and probes those that can be erased.
/// \param shape  of what it takes
/// \error as ImportNetwork and ProbeErasures
absl::StatusOr<Erasable> FindErasable(Network& network, const DataShape& shape);

}  // namespace sluice::graph
