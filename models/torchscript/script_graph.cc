#include "models/torchscript/script_graph.h"

#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/passes/inliner.h>

#include <memory>

#include "absl/strings/match.h"

namespace sluice {
namespace {

using torch::jit::Block;
using torch::jit::Node;

// An argument of an operator, if it is there and a constant.
c10::optional<bool> ConstantFlag(Node& node, const char* name) {
  if (!node.hasNamedInput(name)) return c10::nullopt;
  return torch::jit::constant_as<bool>(node.namedInput(name));
}

void InspectNode(Node& node, ScriptGraph& found) {
  const std::string kind = node.kind().toQualString();
  if (node.kind() == c10::prim::Constant &&
      node.output()->type()->isSubtypeOf(*c10::TensorType::get())) {
    const auto value = torch::jit::toIValue(node.output());
    if (value && value->isTensor() && value->toTensor().dim() > 0 &&
        value->toTensor().is_floating_point()) {
      found.has_constant_weights = true;
    }
  } else if (node.kind() == c10::prim::SetAttr) {
    if (!node.input(1)->type()->isSubtypeOf(*c10::TensorType::get())) {
      found.assigned.push_back(node.s(c10::attr::name));
    }
  } else if (kind == "aten::_native_multi_head_attention" ||
             kind == "aten::_transformer_encoder_layer_fwd" || absl::StartsWith(kind, "mkldnn::") ||
             absl::StartsWith(kind, "quantized::")) {
    found.without_gradient.push_back(kind);
  } else if (kind == "aten::batch_norm" || kind == "aten::dropout" || kind == "aten::dropout_") {
    const auto training = ConstantFlag(node, kind == "aten::batch_norm" ? "training" : "train");
    if (training) (*training ? found.always_training : found.always_evaluating) = true;
  }
}

void InspectBlock(Block& block, ScriptGraph& found) {
  for (Node* const node : block.nodes()) {
    InspectNode(*node, found);
    for (Block* const inner : node->blocks()) InspectBlock(*inner, found);
  }
}

}  // namespace

ScriptGraph InspectForward(const torch::jit::Module& module) {
  const std::shared_ptr<torch::jit::Graph> graph = module.get_method("forward").graph()->copy();
  torch::jit::Inline(*graph);
  ScriptGraph found;
  InspectBlock(*graph->block(), found);
  return found;
}

}  // namespace sluice
