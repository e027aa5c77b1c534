#include "models/graph/prunable.h"

#include <utility>

#include "base/status_macros.h"
#include "models/graph/channel_groups.h"
#include "models/graph/importer.h"
#include "models/graph/probe.h"
#include "models/zoo/example.h"

namespace sluice::graph {
namespace {

constexpr int64_t kSamples = 2;

}  // namespace

std::vector<Group> Prunable::groups() const { return Groups(imported.graph, axes, classes); }

absl::StatusOr<Prunable> FindPrunable(Network& network, const DataShape& shape,
                                      const ClassOptions& options) {
  const std::vector<at::Tensor> example = ExampleOf(shape, kSamples);
  SLUICE_ASSIGN_OR_RETURN(Imported imported, ImportAsSaved(network, example));
  return FindPrunable(std::move(imported), example, options);
}

absl::StatusOr<Prunable> FindPrunable(Imported imported, const std::vector<at::Tensor>& example,
                                      const ClassOptions& options) {
  SLUICE_ASSIGN_OR_RETURN(AxisAnalysis axes, AnalyseAxes(imported.graph));
  SLUICE_ASSIGN_OR_RETURN(std::vector<ChannelClass> classes,
                          FindClasses(imported.graph, axes, options));
  SLUICE_RETURN_IF_ERROR(Probe(imported, axes, example, {}, &classes).status());
  return Prunable{std::move(imported), std::move(axes), std::move(classes)};
}

}  // namespace sluice::graph
