#include "training/pruned_network.h"

#include <ATen/Functions.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/types.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <map>
#include <memory>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "models/data/dataset.h"
#include "models/graph/cut.h"
#include "models/graph/erasable.h"
#include "models/graph/erase.h"
#include "models/graph/importer.h"
#include "models/graph/macs.h"
#include "models/graph/prunable.h"
#include "models/graph/rebuild.h"
#include "models/torch_guard.h"
#include "models/zoo/example.h"
#include "training/atomic_file.h"
#include "training/checkpoint_network.h"

namespace sluice {
namespace {

constexpr int64_t kSamples = 4;           // of the comparison
constexpr double kMostDifference = 1e-4;  // of the largest output, in fp32

using States = std::map<std::string, at::Tensor>;

States StatesOf(const graph::Program& program) {
  States states;
  for (const graph::State& state : program.states) {
    states.emplace(state.name, state.tensor.detach());
  }
  return states;
}

bool IsZero(const graph::Group& group, const States& states) {
  return std::all_of(group.slices.begin(), group.slices.end(), [&](const graph::Slice& slice) {
    const at::Tensor rows =
        states.at(slice.state).index_select(slice.dim, at::tensor(slice.indices));
    return rows.eq(0).all().item<bool>();
  });
}

struct Remaining {
  graph::Imported network;
  std::vector<PrunedNetwork::Operator> erased;
};

// The network without operators that are zero as a whole, the first of the graph first.
absl::StatusOr<Remaining> EraseZeros(graph::Erasable whole,
                                     const std::vector<at::Tensor>& example) {
  const States states = StatesOf(whole.imported.program);
  std::vector<int32_t> zeros;
  for (const graph::Group& group : whole.groups()) {
    if (IsZero(group, states)) zeros.push_back(group.class_id);
  }
  const std::vector<int32_t> erased =
      graph::ChooseErasures(whole.imported.graph, whole.stretches, zeros, zeros.size());
  if (erased.empty()) return Remaining{std::move(whole.imported), {}};
  SLUICE_ASSIGN_OR_RETURN(
      const graph::Cut cut,
      graph::CutStretches(whole.imported.graph, whole.axes, whole.stretches, erased));
  SLUICE_ASSIGN_OR_RETURN(torch::jit::Module module, graph::Rebuild(whole.imported.program, cut));
  SLUICE_ASSIGN_OR_RETURN(graph::Imported network, graph::ImportScript(std::move(module), example));
  Remaining remaining{std::move(network), {}};
  for (const int32_t stretch : erased) {
    remaining.erased.push_back(
        {graph::NameOf(whole.imported.graph, whole.stretches, stretch),
         graph::ErasureGroup(whole.imported.graph, whole.stretches, stretch).elements});
  }
  return remaining;
}

// The units of every class that are zero; of a class that is zero as a whole, all but the first.
std::vector<graph::Removal> ZeroUnits(const graph::Prunable& prunable) {
  const States states = StatesOf(prunable.imported.program);
  std::map<int32_t, graph::Removal> by_class;
  for (const graph::Group& group : prunable.groups()) {
    if (!IsZero(group, states)) continue;
    graph::Removal& removal = by_class[group.class_id];
    removal.class_id = group.class_id;
    removal.units.push_back(group.unit);
  }
  std::vector<graph::Removal> removals;
  for (auto& [id, removal] : by_class) {
    const int64_t extent = prunable.classes[static_cast<size_t>(id)].extent;
    if (static_cast<int64_t>(removal.units.size()) == extent)
      removal.units.erase(removal.units.begin());
    if (!removal.units.empty()) removals.push_back(std::move(removal));
  }
  return removals;
}

std::vector<PrunedNetwork::Layer> LayersOf(const graph::Prunable& prunable,
                                           const std::vector<graph::Removal>& removals) {
  std::vector<PrunedNetwork::Layer> layers;
  for (const graph::ChannelClass& channels : prunable.classes) {
    if (!channels.prunable() || channels.makers.empty()) continue;
    PrunedNetwork::Layer layer;
    layer.name =
        prunable.imported.graph.values[static_cast<size_t>(channels.makers.front().state)].state;
    layer.units = layer.kept = channels.extent;
    for (const graph::Removal& removal : removals) {
      if (removal.class_id == channels.id) layer.kept -= static_cast<int64_t>(removal.units.size());
    }
    layers.push_back(std::move(layer));
  }
  return layers;
}

// Readers see what was at `path`, or all of `bytes`.
absl::Status WriteInOneGo(const std::string& path, const std::string& bytes) {
  const std::string beside = absl::StrCat(path, ".tmp");
  SLUICE_RETURN_IF_ERROR(WriteDurably(beside, bytes));
  if (std::rename(beside.c_str(), path.c_str()) != 0) {
    const int error = errno;
    std::remove(beside.c_str());
    return FileError(error, "rename to", path);
  }
  return absl::OkStatus();
}

// Largest difference of the outputs, relative to the largest output.
double DifferenceOf(Network& whole, torch::jit::Module& smaller,
                    const std::vector<at::Tensor>& example) {
  const torch::NoGradGuard no_gradients;
  whole.eval();
  smaller.eval();
  const at::Tensor expected = whole.forward(example);
  const at::Tensor got = smaller.forward({example.begin(), example.end()}).toTensor();
  return ((got - expected).abs().max() / expected.abs().max().clamp_min(1e-30)).item<double>();
}

}  // namespace

absl::StatusOr<PrunedNetwork> WritePrunedNetwork(const proto::JobConfig& job,
                                                 const std::string& path, const std::string& out) {
  SLUICE_ASSIGN_OR_RETURN(const Datasets data, LoadDatasets(job.data()));
  const DataShape shape = data.test->shape();
  SLUICE_ASSIGN_OR_RETURN(const CheckpointNetwork trained, LoadCheckpointNetwork(job, shape, path));
  PrunedNetwork result;
  result.of_average = trained.of_average;
  const std::vector<at::Tensor> example = ExampleOf(shape, kSamples);
  SLUICE_ASSIGN_OR_RETURN(graph::Erasable whole, graph::FindErasable(*trained.network, shape));
  result.parameters_before = graph::TrainedElements(whole.imported.graph);
  result.macs_before = graph::Macs(whole.imported.graph);
  SLUICE_ASSIGN_OR_RETURN(Remaining remaining, EraseZeros(std::move(whole), example));
  result.erased = std::move(remaining.erased);
  graph::ClassOptions options;
  options.divisor = 1;  // what is zero goes, however many
  SLUICE_ASSIGN_OR_RETURN(const graph::Prunable prunable,
                          graph::FindPrunable(std::move(remaining.network), example, options));
  const std::vector<graph::Removal> removals = ZeroUnits(prunable);
  SLUICE_ASSIGN_OR_RETURN(
      const graph::Cut cut,
      graph::MakeCut(prunable.imported.graph, prunable.axes, prunable.classes, removals));
  SLUICE_ASSIGN_OR_RETURN(torch::jit::Module module,
                          graph::Rebuild(prunable.imported.program, cut));
  SLUICE_ASSIGN_OR_RETURN(const graph::Imported smaller, graph::ImportScript(module, example));
  result.layers = LayersOf(prunable, removals);
  result.parameters = graph::TrainedElements(smaller.graph);
  result.macs = graph::Macs(smaller.graph);
  SLUICE_ASSIGN_OR_RETURN(result.difference,
                          TorchGuard("compare the smaller network with the whole one", [&] {
                            return DifferenceOf(*trained.network, module, example);
                          }));
  if (!(result.difference <= kMostDifference)) {
    return absl::InternalError(
        absl::StrCat(path, ": outputs of the smaller network differ by ", result.difference,
                     " of the largest one, expected at most ", kMostDifference));
  }
  SLUICE_ASSIGN_OR_RETURN(const std::string archive, TorchGuard("save the smaller network", [&] {
                            std::ostringstream bytes;
                            module.save(bytes);
                            return bytes.str();
                          }));
  SLUICE_RETURN_IF_ERROR(WriteInOneGo(out, archive));
  return result;
}

}  // namespace sluice
