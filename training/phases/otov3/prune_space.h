#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "models/data/data_shape.h"
#include "models/graph/groups.h"
#include "training/phases/otov3/prune_settings.h"

namespace sluice {

class Network;

namespace otov3 {

/// What a phase may remove of a network. Plain values: no tensors, and nothing of the network.
struct PruneSpace {
  std::vector<graph::Group> groups;
  /// Whether the network without the groups of these classes, ascending, is one; empty = it always is.
  std::function<bool(const std::vector<int32_t>& class_ids)> valid;
};

/// Finds the zero-invariant groups of a network as it is now, by the settings' mode. A function of its structure alone:
/// the same on all ranks.
/// \param shape  of what it takes
/// \error kInvalidArgument  nothing of it can be removed: tells of everything why
/// \error as graph::FindPrunable and graph::FindErasable
absl::StatusOr<PruneSpace> FindPruneSpace(Network& network, const DataShape& shape,
                                          const PruneSettings& settings);

}  // namespace otov3
}  // namespace sluice
