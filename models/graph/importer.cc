#include "models/graph/importer.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/version.h>

#include <fstream>
#include <optional>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "models/graph/assemble.h"
#include "models/graph/script_check.h"
#include "models/graph/script_source.h"
#include "models/graph/source.h"
#include "models/graph/trace.h"
#include "models/torch_guard.h"

namespace sluice::graph {
namespace {

using Tensors = std::vector<at::Tensor>;

absl::Status Invalid(absl::string_view why) { return absl::InvalidArgumentError(why); }

// Another batch of one sample more, of other values.
Tensors OtherExample(const Tensors& example) {
  Tensors other;
  for (const at::Tensor& tensor : example) {
    std::vector<int64_t> dims;
    for (int64_t d = 0; d < tensor.dim(); ++d) dims.push_back(d);
    const at::Tensor flipped = tensor.flip(dims);
    const bool batched = tensor.dim() > 0 && tensor.size(0) == example.front().size(0);
    other.push_back(batched ? at::cat({flipped, tensor.narrow(0, 0, 1)}) : flipped);
  }
  return other;
}

// Leaves no trace in the source.
absl::StatusOr<Traces> TraceSource(const Source& source, const Tensors& example) {
  const c10::NoGradGuard no_gradients;
  const torch::jit::GraphOptimizerEnabledGuard as_written(false);
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  const at::Tensor drawn = generator.get_state();
  Tensors state, before;
  for (const State& one : source.states) {
    state.push_back(one.tensor);
    before.push_back(one.tensor.detach().clone());
  }
  const auto trace = [&](bool training, const Tensors& inputs) -> absl::StatusOr<Trace> {
    source.train(training);
    Tensors copies;
    for (const at::Tensor& input : inputs) copies.push_back(input.clone());
    return TraceFunction(source.forward, copies, state);
  };
  Traces traces;
  const auto all = [&]() -> absl::Status {
    SLUICE_ASSIGN_OR_RETURN(traces.evaluates, trace(false, example));
    SLUICE_ASSIGN_OR_RETURN(traces.evaluates_other, trace(false, OtherExample(example)));
    SLUICE_ASSIGN_OR_RETURN(traces.trains, trace(true, example));
    return absl::OkStatus();
  };
  const absl::Status status = TorchGuard("forward under the tracer", all);
  for (size_t i = 0; i < state.size(); ++i) {
    if (at::equal(state[i].detach(), before[i])) continue;
    traces.changed.insert(i);
    state[i].detach().copy_(before[i]);
  }
  generator.set_state(drawn);
  if (!status.ok()) {
    // What LibTorch throws here is the network's or the example's fault.
    return Invalid(status.message());
  }
  return traces;
}

absl::StatusOr<Imported> Import(const Source& source, const Tensors& example) {
  if (example.empty() || example.front().dim() == 0 || example.front().size(0) == 0) {
    return Invalid("importing a network needs example inputs, a batch of at least one sample");
  }
  SLUICE_ASSIGN_OR_RETURN(const Traces traces, TraceSource(source, example));
  return TorchGuard("import of a network", [&] { return Assemble(source, example, traces); });
}

}  // namespace

absl::StatusOr<Imported> ImportNetwork(Network& network, const Tensors& example) {
  Source source;
  source.forward = [&](const Tensors& inputs) { return Tensors{network.forward(inputs)}; };
  source.train = [&](bool on) { network.train(on); };
  StateList states;
  for (const auto& item : network.named_parameters()) {
    states.Add(item.key(), item.value(), /*parameter=*/true);
  }
  for (const auto& item : network.named_buffers()) {
    states.Add(item.key(), item.value(), /*parameter=*/false);
  }
  source.states = states.states();
  const bool training = network.is_training();
  auto imported = Import(source, example);
  network.train(training);
  return imported;
}

absl::StatusOr<Imported> ImportScript(torch::jit::Module module, const Tensors& example) {
  if (!module.find_method("forward")) return Invalid("the TorchScript module has no forward");
  SLUICE_RETURN_IF_ERROR(TorchGuard("forward's code", [&] { return CheckScript(module); }));
  const ScriptSource script(std::move(module));
  auto imported = Import(script.source(), example);
  SLUICE_RETURN_IF_ERROR(script.result());
  return imported;
}

absl::StatusOr<Imported> ImportAsSaved(Network& network, const Tensors& example) {
  if (network.file_digest() == 0) return ImportNetwork(network, example);
  SLUICE_ASSIGN_OR_RETURN(torch::jit::Module module, TorchGuard("copy the TorchScript module", [&] {
                            std::stringstream archive;
                            network.WriteArchive(archive);
                            return torch::jit::load(archive);
                          }));
  return ImportScript(std::move(module), example);
}

absl::StatusOr<Imported> ImportScriptFile(const std::string& path, const Tensors& example) {
  std::ifstream in(path, std::ios::binary);
  if (!in.is_open()) return absl::NotFoundError(absl::StrCat("\"", path, "\": no such file"));
  std::optional<torch::jit::Module> module;
  try {
    module = torch::jit::load(in, c10::kCPU);
  } catch (const std::exception& thrown) {
    return absl::DataLossError(
        absl::StrCat("\"", path, "\": LibTorch ", TORCH_VERSION,
                     " cannot read it as TorchScript: ", TorchMessage(thrown),
                     ". Save it with torch.jit.script(module).save(path), not with torch.save"));
  }
  auto imported = ImportScript(*module, example);
  if (imported.ok()) return imported;
  return absl::Status(imported.status().code(),
                      absl::StrCat("\"", path, "\": ", imported.status().message()));
}

}  // namespace sluice::graph
