#include "models/graph/erasable.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>

#include "base/status_macros.h"
#include "models/graph/importer.h"
#include "models/graph/probe.h"
#include "models/zoo/example.h"

namespace sluice::graph {
namespace {

constexpr int64_t kSamples = 2;

}  // namespace

std::vector<Group> Erasable::groups() const {
  std::vector<Group> groups;
  for (size_t i = 0; i < stretches.size(); ++i) {
    if (!stretches[i].erasable()) continue;
    groups.push_back(ErasureGroup(imported.graph, stretches, static_cast<int32_t>(i)));
  }
  return groups;
}

absl::StatusOr<Erasable> FindErasable(Network& network, const DataShape& shape) {
  const std::vector<at::Tensor> example = ExampleOf(shape, kSamples);
  SLUICE_ASSIGN_OR_RETURN(Imported imported, ImportAsSaved(network, example));
  SLUICE_ASSIGN_OR_RETURN(AxisAnalysis axes, AnalyseAxes(imported.graph));
  std::vector<Stretch> stretches = FindStretches(imported.graph, axes);
  SLUICE_RETURN_IF_ERROR(ProbeErasures(imported, axes, example, {}, &stretches).status());
  return Erasable{std::move(imported), std::move(axes), std::move(stretches)};
}

}  // namespace sluice::graph
