#include "models/graph/cut.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace sluice::graph {
namespace {

absl::StatusOr<AtomMasks> MasksOf(const std::vector<ChannelClass>& classes,
                                  const std::vector<Removal>& removals) {
  AtomMasks masks;
  for (const Removal& removal : removals) {
    if (removal.class_id < 0 || removal.class_id >= static_cast<int32_t>(classes.size())) {
      return absl::InvalidArgumentError(
          absl::StrCat("cut: there is no class ", removal.class_id, " among ", classes.size()));
    }
    const ChannelClass& channels = classes[removal.class_id];
    if (removal.units.empty()) continue;
    if (!channels.prunable()) {
      return absl::InvalidArgumentError(
          absl::StrCat("cut: class ", removal.class_id, " is not prunable: ", channels.reasons[0]));
    }
    std::vector<bool>& mask =
        masks.emplace(channels.atom, std::vector<bool>(static_cast<size_t>(channels.extent), true))
            .first->second;
    for (int64_t unit : removal.units) {
      if (unit < 0 || unit >= channels.extent) {
        return absl::InvalidArgumentError(absl::StrCat("cut: class ", removal.class_id, " has ",
                                                       channels.extent, " units, there is no ",
                                                       unit));
      }
      mask[static_cast<size_t>(unit)] = false;
    }
    if (std::find(mask.begin(), mask.end(), true) == mask.end()) {
      return absl::InvalidArgumentError(absl::StrCat("cut: nothing would be left of the ",
                                                     channels.extent, " units of class ",
                                                     removal.class_id, "; keep at least one"));
    }
  }
  return masks;
}

}  // namespace

Cut CutAtoms(const Graph& graph, const AxisAnalysis& analysis, const AtomMasks& masks) {
  const auto stays = [&masks](AxisId atom) {
    const auto found = masks.find(atom);
    return found == masks.end() ? nullptr : &found->second;
  };
  Cut cut;
  for (size_t id = 0; id < graph.values.size(); ++id) {
    const Value& value = graph.values[id];
    if (value.producer >= 0 || value.state.empty()) continue;
    for (size_t dim = 0; dim < value.shape.size(); ++dim) {
      const std::vector<bool> kept = analysis.table.Kept(analysis.axes[id][dim], stays);
      Slice slice = {value.state, static_cast<int>(dim), {}};
      for (size_t index = 0; index < kept.size(); ++index) {
        if (kept[index]) slice.indices.push_back(static_cast<int64_t>(index));
      }
      if (slice.indices.size() < kept.size()) cut.kept.push_back(std::move(slice));
    }
  }
  for (const AxisAnalysis::Literal& literal : analysis.literals) {
    const std::vector<bool> kept = analysis.table.Kept(literal.axis, stays);
    const int64_t extent = std::count(kept.begin(), kept.end(), true);
    if (extent == static_cast<int64_t>(kept.size())) continue;
    cut.constants.push_back(
        {literal.node, literal.operand, literal.element, literal.negative ? -extent : extent});
  }
  return cut;
}

absl::StatusOr<Cut> MakeCut(const Graph& graph, const AxisAnalysis& analysis,
                            const std::vector<ChannelClass>& classes,
                            const std::vector<Removal>& removals) {
  SLUICE_ASSIGN_OR_RETURN(const AtomMasks masks, MasksOf(classes, removals));
  return CutAtoms(graph, analysis, masks);
}

}  // namespace sluice::graph
