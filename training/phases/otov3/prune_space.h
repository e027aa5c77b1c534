#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>
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

/// What FindPruneSpace finds of one network, found when it is first asked for and kept: finding it takes a while, and
/// a network that trains in a job (frozen in parts, with statistics shared over ranks) cannot be traced any more.
class PruneSpaces {
 public:
  /// \error as FindPruneSpace
  absl::StatusOr<PruneSpace> Of(Network& network, const DataShape& shape,
                                const PruneSettings& settings);

 private:
  std::map<std::pair<Mode, int64_t>, PruneSpace> known_;  // by mode and divisor
};

}  // namespace otov3
}  // namespace sluice
