#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "models/data/data_shape.h"
#include "models/graph/axis_analysis.h"
#include "models/graph/channel_classes.h"
#include "models/graph/groups.h"
#include "models/graph/imported.h"
#include "models/zoo/network.h"

namespace sluice::graph {

/// A network, and what can be removed of it.
struct Prunable {
  Imported imported;
  AxisAnalysis axes;
  std::vector<ChannelClass>
      classes;  // probed: what could not be removed without a difference is not prunable

  /// Of all prunable classes.
  std::vector<Group> groups() const;
};

/// Imports a network as ImportAsSaved does, finds its classes and probes them.
/// \param shape  of what it takes
/// \error as ImportNetwork, FindClasses and Probe
absl::StatusOr<Prunable> FindPrunable(Network& network, const DataShape& shape,
                                      const ClassOptions& options);

/// The same of what was imported with `example`.
absl::StatusOr<Prunable> FindPrunable(Imported imported, const std::vector<at::Tensor>& example,
                                      const ClassOptions& options);

}  // namespace sluice::graph
