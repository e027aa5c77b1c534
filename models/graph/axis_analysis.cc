#include "models/graph/axis_analysis.h"

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "models/graph/axis_rules.h"
#include "models/graph/operators.h"

namespace sluice::graph {
namespace {

absl::Status CheckGraph(const Graph& graph) {
  const auto values = static_cast<ValueId>(graph.values.size());
  const auto known = [values](ValueId id) { return id >= 0 && id < values; };
  for (ValueId id = 0; id < values; ++id) {
    for (int64_t extent : graph.values[id].shape) {
      if (extent >= 0) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("graph: value ", id, " has an extent of ", extent));
    }
  }
  std::vector<bool> made(graph.values.size(), false);
  for (ValueId id = 0; id < values; ++id) made[id] = graph.values[id].producer < 0;
  for (size_t index = 0; index < graph.nodes.size(); ++index) {
    const Node& node = graph.nodes[index];
    for (ValueId id : TensorsOf(node)) {
      if (known(id) && made[id]) continue;
      return absl::InvalidArgumentError(absl::StrCat("graph: node ", index, ", ", NameOf(node),
                                                     ", reads value ", id,
                                                     ", which no node before it makes"));
    }
    if (node.outputs.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("graph: node ", index, ", ", NameOf(node), ", makes nothing"));
    }
    for (ValueId id : node.outputs) {
      if (known(id) && graph.values[id].producer == static_cast<int32_t>(index)) {
        made[id] = true;
        continue;
      }
      return absl::InvalidArgumentError(absl::StrCat("graph: node ", index, ", ", NameOf(node),
                                                     ", makes value ", id,
                                                     ", which says that another one does"));
    }
  }
  for (const std::vector<ValueId>* list : {&graph.inputs, &graph.outputs}) {
    for (ValueId id : *list) {
      if (known(id) && made[id]) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("graph: an input or output is value ", id, ", which is never made"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<AxisAnalysis> AnalyseAxes(const Graph& graph) {
  SLUICE_RETURN_IF_ERROR(CheckGraph(graph));
  AxisAnalysis analysis;
  analysis.axes.resize(graph.values.size());
  analysis.origins.resize(graph.values.size());
  analysis.uses.resize(graph.values.size());
  for (size_t id = 0; id < graph.values.size(); ++id) {
    const Value& value = graph.values[id];
    if (value.producer >= 0) continue;
    for (size_t dim = 0; dim < value.shape.size(); ++dim) {
      analysis.axes[id].push_back(
          value.state.empty()
              ? analysis.table.FixedAtom(value.shape[dim], "the network is given it")
              : analysis.table.Atom(value.shape[dim]));
      if (!value.state.empty()) {
        analysis.origins[id].dims.push_back(static_cast<int32_t>(dim));
      }
    }
    if (value.state.empty()) continue;
    analysis.origins[id].state = static_cast<ValueId>(id);
    analysis.uses[id].resize(value.shape.size());
  }

  AxisRules rules(graph, &analysis);
  for (size_t node = 0; node < graph.nodes.size(); ++node) {
    const auto index = static_cast<int32_t>(node);
    const absl::Status status = rules.Apply(index);
    if (!status.ok()) rules.GiveUp(index, std::string(status.message()));
  }
  for (ValueId id : graph.outputs) {
    for (AxisId axis : analysis.axes[id]) {
      analysis.table.Fix(axis, "it is the network's output");
    }
  }
  return analysis;
}

}  // namespace sluice::graph
