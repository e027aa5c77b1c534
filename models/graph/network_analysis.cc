#include "models/graph/network_analysis.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "models/data/data_shape.h"
#include "models/graph/axis_analysis.h"
#include "models/graph/cut.h"
#include "models/graph/importer.h"
#include "models/graph/macs.h"
#include "models/graph/operators.h"
#include "models/graph/prunable.h"
#include "models/graph/rebuild.h"
#include "models/zoo/example.h"
#include "models/zoo/zoo.h"

namespace sluice::graph {
namespace {

using Tensors = std::vector<at::Tensor>;

constexpr int64_t kSamples = 2;
constexpr uint64_t kSeed = 1;

absl::StatusOr<DataShape> ShapeOf(const AnalysisRequest& request) {
  if (request.examples.empty()) {
    return absl::InvalidArgumentError("it cannot be run without the shapes of its inputs");
  }
  for (const std::vector<int64_t>& extents : request.examples) {
    for (const int64_t extent : extents) {
      if (extent >= 1) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("an input's extents must be above 0, got ", extent));
    }
  }
  DataShape shape;
  shape.input = request.examples.front();
  shape.more_inputs.assign(request.examples.begin() + 1, request.examples.end());
  shape.classes = request.classes;
  shape.target_per_position = shape.input.size() == 1;
  return shape;
}

absl::StatusOr<Imported> ImportOf(const AnalysisRequest& request, const DataShape& shape,
                                  const Tensors& examples) {
  if (!request.model.torchscript().empty()) {
    return ImportScriptFile(request.model.torchscript(), examples);
  }
  SLUICE_ASSIGN_OR_RETURN(const std::shared_ptr<Network> network,
                          BuildNetwork(request.model, shape, kSeed));
  return ImportNetwork(*network, examples);
}

// The same part of all classes, rounded as pruning would.
absl::StatusOr<NetworkAnalysis::Smaller> Without(double share, const Imported& imported,
                                                 const AxisAnalysis& axes,
                                                 const std::vector<ChannelClass>& classes,
                                                 const Tensors& examples) {
  std::vector<Removal> removals;
  for (const ChannelClass& channels : classes) {
    if (!channels.prunable()) continue;
    const auto wanted = static_cast<int64_t>((1 - share) * static_cast<double>(channels.extent));
    const int64_t kept = RoundKept(channels, wanted, /*max_removed_share=*/0.9);
    Removal removal{channels.id, {}};
    for (int64_t unit = kept; unit < channels.extent; ++unit) removal.units.push_back(unit);
    if (!removal.units.empty()) removals.push_back(std::move(removal));
  }
  SLUICE_ASSIGN_OR_RETURN(const Cut cut, MakeCut(imported.graph, axes, classes, removals));
  SLUICE_ASSIGN_OR_RETURN(const torch::jit::Module module, Rebuild(imported.program, cut));
  SLUICE_ASSIGN_OR_RETURN(const Imported smaller, ImportScript(module, examples));
  return NetworkAnalysis::Smaller{share, TrainedElements(smaller.graph), Macs(smaller.graph)};
}

}  // namespace

absl::StatusOr<NetworkAnalysis> AnalyseNetwork(const AnalysisRequest& request) {
  SLUICE_ASSIGN_OR_RETURN(const DataShape shape, ShapeOf(request));
  const Tensors examples = ExampleOf(shape, kSamples);
  SLUICE_ASSIGN_OR_RETURN(Imported whole, ImportOf(request, shape, examples));
  SLUICE_ASSIGN_OR_RETURN(Prunable prunable,
                          FindPrunable(std::move(whole), examples, request.options));
  Imported& imported = prunable.imported;
  const AxisAnalysis& axes = prunable.axes;
  NetworkAnalysis analysis;
  const bool from_file = !request.model.torchscript().empty();
  analysis.name = from_file ? request.model.torchscript() : request.model.name();
  for (const AxisAnalysis::Unsupported& one : axes.unsupported) {
    analysis.unsupported.push_back(
        absl::StrCat(NameOf(imported.graph.nodes[one.node]), ": ", one.why));
  }
  analysis.parameters = TrainedElements(imported.graph);
  for (const Group& group : prunable.groups()) analysis.in_groups += group.elements;
  analysis.classes = std::move(prunable.classes);
  analysis.macs = Macs(imported.graph);
  for (const double share : {0.3, 0.5, 0.7}) {
    SLUICE_ASSIGN_OR_RETURN(NetworkAnalysis::Smaller smaller,
                            Without(share, imported, axes, analysis.classes, examples));
    analysis.smaller.push_back(smaller);
  }
  analysis.axes = std::move(prunable.axes);
  analysis.graph = std::move(imported.graph);
  analysis.notes = std::move(imported.notes);
  return analysis;
}

}  // namespace sluice::graph
