#include "models/graph/script_check.h"

#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/passes/inliner.h>

#include <algorithm>
#include <array>
#include <memory>
#include <set>
#include <string>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"

namespace sluice::graph {
namespace {

using torch::jit::Block;
using torch::jit::Node;
using torch::jit::Value;

bool IsTensor(const Value& value) { return value.type()->isSubtypeOf(*c10::TensorType::get()); }

// Whether the values in it may differ from run to run. \param seen  values on the way to it
bool Varies(const Value& value, std::set<const Value*>& seen) {
  if (!IsTensor(value) || !seen.insert(&value).second) return false;
  const Node& node = *value.node();
  if (node.kind() == c10::prim::Constant || node.kind() == c10::prim::NumToTensor) return false;
  if (node.kind() == c10::prim::Param || node.kind() == c10::prim::GetAttr) return true;
  for (const Block* const block : node.blocks()) {
    for (const Value* const output : block->outputs()) {
      if (Varies(*output, seen)) return true;
    }
  }
  return std::any_of(node.inputs().begin(), node.inputs().end(),
                     [&](const Value* input) { return Varies(*input, seen); });
}

std::string PlaceOf(const Node& node) {
  const auto place = node.sourceRange().file_line_col();
  return place ? absl::StrCat(" in ", std::get<0>(*place), ":", std::get<1>(*place)) : "";
}

absl::Status CheckBlock(const Block& block) {
  static constexpr std::array kNumbers = {
      "aten::Bool",       "aten::Int",         "aten::Float",         "aten::item",
      "aten::is_nonzero", "aten::IntImplicit", "aten::FloatImplicit", "aten::ScalarImplicit",
      "aten::equal",      "aten::allclose"};
  for (const Node* const node : block.nodes()) {
    const absl::string_view kind = node->kind().toQualString();
    if (std::find(kNumbers.begin(), kNumbers.end(), kind) != kNumbers.end()) {
      for (const Value* const input : node->inputs()) {
        std::set<const Value*> seen;
        if (!Varies(*input, seen)) continue;
        return absl::InvalidArgumentError(absl::StrCat(
            kind, PlaceOf(*node),
            ": what forward does depends on the values of a tensor. Such a "
            "network cannot be imported; compute with tensors instead, e.g. torch.where"));
      }
    }
    for (const Block* const inner : node->blocks()) SLUICE_RETURN_IF_ERROR(CheckBlock(*inner));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckScript(const torch::jit::Module& module) {
  const std::shared_ptr<torch::jit::Graph> graph = module.get_method("forward").graph()->copy();
  torch::jit::Inline(*graph);
  return CheckBlock(*graph->block());
}

}  // namespace sluice::graph
