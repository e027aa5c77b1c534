#include "models/graph/evaluator.h"

#include <c10/core/GradMode.h>

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "models/torch_guard.h"

namespace sluice::graph {

Evaluator::Evaluator(const Program& program, Precision precision)
    : precision_(precision),
      inputs_(program.inputs),
      states_(program.states),
      code_(EmitGraph(program, precision == Precision::kDouble), "forward") {
  for (State& state : states_) state.tensor = Converted(state.tensor.detach());
}

absl::StatusOr<Evaluator> Evaluator::Create(const Program& program, Precision precision) {
  return TorchGuard("evaluator of a graph", [&] { return Evaluator(program, precision); });
}

at::Tensor Evaluator::Converted(const at::Tensor& tensor) const {
  const bool converts = precision_ == Precision::kDouble && tensor.is_floating_point();
  return converts ? tensor.to(at::kDouble) : tensor;
}

absl::StatusOr<std::vector<at::Tensor>> Evaluator::Run(
    const std::vector<at::Tensor>& inputs,
    const std::map<std::string, at::Tensor>& replaced) const {
  if (inputs.size() != static_cast<size_t>(inputs_)) {
    return absl::InvalidArgumentError(
        absl::StrCat("evaluation of a graph with ", inputs_, " inputs: given ", inputs.size()));
  }
  size_t used = 0;
  torch::jit::Stack stack;
  for (const at::Tensor& input : inputs) stack.emplace_back(Converted(input));
  for (const State& state : states_) {
    const auto other = replaced.find(state.name);
    if (other == replaced.end()) {
      // Batch norm that was traced in training mode changes its statistics.
      stack.emplace_back(state.parameter ? state.tensor : state.tensor.clone());
      continue;
    }
    if (other->second.sizes() != state.tensor.sizes()) {
      return absl::InvalidArgumentError(
          absl::StrCat("evaluation with another \"", state.name, "\" of ",
                       absl::StrJoin(other->second.sizes(), " x "), ": it is ",
                       absl::StrJoin(state.tensor.sizes(), " x ")));
    }
    stack.emplace_back(Converted(other->second.detach()));
    ++used;
  }
  if (used != replaced.size()) {
    return absl::InvalidArgumentError("evaluation with another tensor of a name that is not there");
  }
  stack.emplace_back(false);
  return TorchGuard("evaluation of a graph", [&] {
    const c10::NoGradGuard no_gradients;
    torch::jit::InterpreterState(code_).run(stack);
    const c10::IValue result = stack.back();
    std::vector<at::Tensor> outputs;
    if (result.isTensor()) return std::vector<at::Tensor>{result.toTensor()};
    for (const c10::IValue& element : result.toTupleRef().elements()) {
      outputs.push_back(element.toTensor());
    }
    return outputs;
  });
}

}  // namespace sluice::graph
