#include "tests/models/graph/networks.h"

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/serialization/import.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "models/zoo/zoo.h"

namespace sluice::graph {
namespace {

bool IsOfTokens(const std::string& name) { return name == "gpt" || name == "bert"; }

}  // namespace

std::vector<std::string> ZooNames() {
  return {"mlp",         "cnn",         "vgg11", "vgg16", "resnet18", "resnet50",
          "densenet121", "mobilenetv2", "vit",   "gpt",   "bert"};
}

std::shared_ptr<Network> SmallNetwork(const std::string& name) {
  proto::Model model;
  model.set_name(name);
  const bool transformer = IsOfTokens(name) || name == "vit";
  if (transformer) {
    model.set_width(24);
    model.set_depth(2);
    model.set_heads(3);
  }
  if (name == "mlp") model.set_width(40);
  if (name == "mlp" || name == "vgg11" || transformer) model.set_dropout(0.1);
  const DataShape shape =
      IsOfTokens(name) ? DataShape{{8}, 32, true} : DataShape{{1, 16, 16}, 10, false};
  return BuildNetwork(model, shape, 1).value();
}

std::vector<at::Tensor> InputsOf(const std::string& name, int64_t samples) {
  if (IsOfTokens(name)) return {at::randint(32, {samples, 8}, at::kLong)};
  return {at::randn({samples, 1, 16, 16})};
}

std::vector<std::string> ScriptNames() {
  return {"cnn",          "resnet",        "transformer",
          "two_inputs",   "resnet_traced", "cnn_traced_eval",
          "TwoArguments", "ListOfInputs",  "Tied",
          "Transposed",   "Counting",      "Fixed",
          "Frozen",       "Pair",          "cells"};
}

std::string ScriptPath(const std::string& name) {
  return absl::StrCat("tests/models/torchscript/", name, ".pt");
}

std::vector<at::Tensor> ScriptInputsOf(const std::string& name, int64_t samples) {
  std::vector<at::Tensor> inputs = {at::randn({samples, 1, 28, 28})};
  if (name == "two_inputs" || name == "TwoArguments" || name == "ListOfInputs") {
    inputs.push_back(at::randn({samples, 16}));
  }
  return inputs;
}

torch::jit::Module LoadScript(const std::string& name) {
  return torch::jit::load(ScriptPath(name), c10::kCPU);
}

std::vector<at::Tensor> RunScript(torch::jit::Module module,
                                  const std::vector<at::Tensor>& inputs) {
  const c10::NoGradGuard no_gradients;
  const torch::jit::GraphOptimizerEnabledGuard as_written(false);
  std::vector<c10::IValue> arguments(inputs.begin(), inputs.end());
  const auto& schema = module.get_method("forward").function().getSchema().arguments();
  const c10::TypeKind kind = schema[1].type()->kind();
  if (kind == c10::TypeKind::TupleType) {
    arguments = {c10::ivalue::Tuple::create(std::move(arguments))};
  } else if (kind == c10::TypeKind::ListType) {
    arguments = {c10::IValue(inputs)};
  }
  const c10::IValue result = module.forward(std::move(arguments));
  if (result.isTensor()) return {result.toTensor()};
  std::vector<at::Tensor> tensors;
  for (const c10::IValue& element : result.toTupleRef().elements()) {
    tensors.push_back(element.toTensor());
  }
  return tensors;
}

void DrawStatistics(torch::nn::Module& network) {
  const c10::NoGradGuard no_gradients;
  for (const auto& item : network.named_buffers()) {
    if (absl::EndsWith(item.key(), "running_mean")) item.value().normal_(0, 0.3);
    if (absl::EndsWith(item.key(), "running_var")) item.value().uniform_(0.5, 1.5);
  }
}

}  // namespace sluice::graph
