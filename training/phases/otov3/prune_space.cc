#include "training/phases/otov3/prune_space.h"

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "models/graph/class_report.h"
#include "models/graph/prunable.h"

namespace sluice::otov3 {

absl::StatusOr<std::vector<graph::Group>> PruneSpaces::GroupsOf(const PhaseModel& model,
                                                                const proto::Otov3& settings) {
  const auto known = by_divisor_.find(settings.divisor());
  if (known != by_divisor_.end()) return known->second;
  graph::ClassOptions options;
  options.divisor = settings.divisor();
  SLUICE_ASSIGN_OR_RETURN(const graph::Prunable prunable,
                          graph::FindPrunable(model.network, model.data.shape(), options));
  std::vector<graph::Group> groups = prunable.groups();
  if (groups.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("otov3: nothing of the network can be pruned:\n",
                     graph::ClassTable(prunable.imported.graph, prunable.axes, prunable.classes)));
  }
  by_divisor_.emplace(settings.divisor(), groups);
  return groups;
}

}  // namespace sluice::otov3
