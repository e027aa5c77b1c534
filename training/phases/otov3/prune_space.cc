#include "training/phases/otov3/prune_space.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "models/graph/class_report.h"
#include "models/graph/erasable.h"
#include "models/graph/prunable.h"

namespace sluice::otov3 {
namespace {

absl::StatusOr<PruneSpace> Channels(Network& network, const DataShape& shape, int64_t divisor) {
  graph::ClassOptions options;
  options.divisor = divisor;
  SLUICE_ASSIGN_OR_RETURN(const graph::Prunable prunable,
                          graph::FindPrunable(network, shape, options));
  PruneSpace space{prunable.groups(), nullptr};
  if (!space.groups.empty()) return space;
  return absl::InvalidArgumentError(
      absl::StrCat("otov3: nothing of the network can be pruned:\n",
                   graph::ClassTable(prunable.imported.graph, prunable.axes, prunable.classes)));
}

absl::StatusOr<PruneSpace> Operators(Network& network, const DataShape& shape) {
  SLUICE_ASSIGN_OR_RETURN(graph::Erasable erasable, graph::FindErasable(network, shape));
  PruneSpace space{erasable.groups(), nullptr};
  if (space.groups.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("otov3: nothing of the network can be erased:\n",
                     graph::StretchTable(erasable.imported.graph, erasable.stretches)));
  }
  struct Stretched {
    graph::Graph graph;
    std::vector<graph::Stretch> stretches;
  };
  // Of all copies of the function, none of which changes it.
  auto stretched = std::make_shared<const Stretched>(
      Stretched{std::move(erasable.imported.graph), std::move(erasable.stretches)});
  space.valid = [stretched](const std::vector<int32_t>& class_ids) {
    std::vector<bool> erased(stretched->stretches.size(), false);
    for (int32_t stretch : class_ids) erased[static_cast<size_t>(stretch)] = true;
    return !graph::ErasureBreach(stretched->graph, stretched->stretches, erased);
  };
  return space;
}

}  // namespace

absl::StatusOr<PruneSpace> FindPruneSpace(Network& network, const DataShape& shape,
                                          const PruneSettings& settings) {
  if (settings.mode == Mode::kErase) return Operators(network, shape);
  return Channels(network, shape, settings.rules.divisor);
}

absl::StatusOr<PruneSpace> PruneSpaces::Of(Network& network, const DataShape& shape,
                                           const PruneSettings& settings) {
  const std::pair<Mode, int64_t> key(settings.mode, settings.rules.divisor);
  const auto known = known_.find(key);
  if (known != known_.end()) return known->second;
  SLUICE_ASSIGN_OR_RETURN(PruneSpace space, FindPruneSpace(network, shape, settings));
  return known_.emplace(key, std::move(space)).first->second;
}

}  // namespace sluice::otov3
