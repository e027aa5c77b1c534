#include "models/graph/trace.h"

#include <torch/csrc/jit/frontend/tracer.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/ir/ir.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"

namespace sluice::graph {
namespace {

using torch::jit::Node;
using torch::jit::Value;

absl::Status Unsupported(const Node& node, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(node.kind().toQualString(), ": ", why));
}

class Reader {
 public:
  absl::StatusOr<Trace> Read(torch::jit::Graph& graph) {
    for (const Value* const input : graph.inputs()) NewId(input);
    for (Node* const node : graph.nodes()) SLUICE_RETURN_IF_ERROR(ReadNode(*node));
    for (Value* const output : graph.outputs()) {
      SLUICE_ASSIGN_OR_RETURN(const int32_t id, IdOf(*output, *graph.return_node()));
      trace_.outputs.push_back(id);
    }
    return std::move(trace_);
  }

 private:
  int32_t NewId(const Value* value) {
    const auto id = static_cast<int32_t>(trace_.shapes.size());
    const auto type = value->type()->cast<c10::TensorType>();
    const auto sizes = type ? type->sizes().concrete_sizes() : c10::nullopt;
    trace_.shapes.push_back(sizes ? *sizes : std::vector<int64_t>());
    ids_[value] = id;
    return id;
  }

  absl::StatusOr<int32_t> IdOf(Value& value, const Node& reader) {
    const auto known = ids_.find(&value);
    if (known != ids_.end()) return known->second;
    const auto constant = torch::jit::toIValue(&value);
    if (!constant || !constant->isTensor()) {
      return Unsupported(reader, absl::StrCat("reads %", value.debugName(), " of type ",
                                              value.type()->str(), ", which is no tensor"));
    }
    const int32_t id = NewId(&value);
    trace_.shapes[id] = constant->toTensor().sizes().vec();
    trace_.constants[id] = constant->toTensor();
    return id;
  }

  absl::Status ReadNode(Node& node) {
    if (node.kind() == c10::prim::Constant || node.kind() == c10::prim::ListConstruct) {
      return absl::OkStatus();  // read where they are used
    }
    if (node.kind() == c10::prim::ListUnpack) {
      const auto list = lists_.find(node.input());
      if (list == lists_.end()) return Unsupported(node, "it takes apart no operator's result");
      for (const Value* const output : node.outputs()) {
        trace_.calls[list->second].outputs.push_back(NewId(output));
      }
      return absl::OkStatus();
    }
    TracedCall call;
    call.kind = node.kind();
    const c10::FunctionSchema* const schema = node.maybeSchema();
    if (schema == nullptr) return Unsupported(node, "LibTorch does not know this operator");
    for (size_t i = 0; i < node.inputs().size(); ++i) {
      SLUICE_ASSIGN_OR_RETURN(TracedCall::Argument argument, ReadArgument(*node.input(i), node));
      argument.name = schema->arguments()[i].name();
      call.arguments.push_back(std::move(argument));
    }
    for (const Value* const output : node.outputs()) {
      if (output->type()->isSubtypeOf(*c10::ListType::ofTensors())) {
        call.returns_list = true;
        lists_[output] = trace_.calls.size();
      } else if (output->type()->isSubtypeOf(*c10::TensorType::get())) {
        call.outputs.push_back(NewId(output));
      } else {
        return Unsupported(node, absl::StrCat("it gives a ", output->type()->str()));
      }
    }
    trace_.calls.push_back(std::move(call));
    return absl::OkStatus();
  }

  absl::StatusOr<TracedCall::Argument> ReadArgument(Value& value, const Node& node) {
    TracedCall::Argument argument;
    if (value.node()->kind() == c10::prim::ListConstruct) {
      return ReadList(*value.node(), node);
    }
    const auto constant = torch::jit::toIValue(&value);
    if (constant && constant->isInt()) {
      argument.of = TracedCall::Argument::Integers{{constant->toInt()}, false};
    } else if (constant && constant->isIntList()) {
      argument.of = TracedCall::Argument::Integers{constant->toIntVector(), true};
    } else if (constant && !constant->isTensor()) {
      argument.of = *constant;
    } else {
      SLUICE_ASSIGN_OR_RETURN(argument.of, IdOf(value, node));
    }
    return argument;
  }

  absl::StatusOr<TracedCall::Argument> ReadList(Node& list, const Node& node) {
    TracedCall::Argument argument;
    const c10::TypePtr element = list.output()->type()->expectRef<c10::ListType>().getElementType();
    if (element->kind() == c10::TypeKind::IntType) {
      TracedCall::Argument::Integers integers{{}, true};
      for (Value* const value : list.inputs()) {
        const auto constant = torch::jit::toIValue(value);
        if (!constant || !constant->isInt()) return Unsupported(node, "it has a list of unknowns");
        integers.values.push_back(constant->toInt());
      }
      argument.of = std::move(integers);
    } else if (element->kind() == c10::TypeKind::FloatType) {
      std::vector<double> numbers;
      for (Value* const value : list.inputs()) {
        const auto constant = torch::jit::toIValue(value);
        if (!constant || !constant->isDouble()) {
          return Unsupported(node, "it has a list of unknowns");
        }
        numbers.push_back(constant->toDouble());
      }
      argument.of = c10::IValue(std::move(numbers));
    } else {
      TracedCall::Argument::Ids tensors;
      tensors.optional = element->kind() == c10::TypeKind::OptionalType;
      for (Value* const value : list.inputs()) {
        const auto constant = torch::jit::toIValue(value);
        if (constant && constant->isNone()) {
          tensors.ids.push_back(-1);
          continue;
        }
        SLUICE_ASSIGN_OR_RETURN(const int32_t id, IdOf(*value, node));
        tensors.ids.push_back(id);
      }
      argument.of = std::move(tensors);
    }
    return argument;
  }

  Trace trace_;
  std::map<const Value*, int32_t> ids_;
  std::map<const Value*, size_t> lists_;  // of calls
};

// Operators whose result may be the same memory as their first argument.
bool MayBeView(const TracedCall& call) {
  static constexpr std::array kViews = {"aten::view",       "aten::reshape",
                                        "aten::flatten",    "aten::transpose",
                                        "aten::permute",    "aten::t",
                                        "aten::select",     "aten::slice",
                                        "aten::unsqueeze",  "aten::squeeze",
                                        "aten::expand",     "aten::expand_as",
                                        "aten::chunk",      "aten::split",
                                        "aten::unbind",     "aten::split_with_sizes",
                                        "aten::contiguous", "aten::detach",
                                        "aten::dropout",    "aten::feature_dropout",
                                        "aten::to",         "aten::type_as",
                                        "aten::narrow",     "aten::diagonal",
                                        "aten::view_as",    "aten::_reshape_alias",
                                        "aten::unflatten",  "aten::alias",
                                        "aten::movedim",    "aten::swapaxes",
                                        "aten::unfold",     "aten::as_strided"};
  const absl::string_view kind = call.kind.toQualString();
  return IsInPlace(call) || std::find(kViews.begin(), kViews.end(), kind) != kViews.end();
}

std::optional<int32_t> FirstTensor(const TracedCall& call) {
  if (call.arguments.empty()) return std::nullopt;
  const auto* const id = std::get_if<int32_t>(&call.arguments.front().of);
  return id != nullptr ? std::optional(*id) : std::nullopt;
}

std::vector<int32_t> Reads(const TracedCall& call) {
  std::vector<int32_t> reads;
  for (const auto& argument : call.arguments) {
    if (const auto* const id = std::get_if<int32_t>(&argument.of)) reads.push_back(*id);
    if (const auto* const list = std::get_if<TracedCall::Argument::Ids>(&argument.of)) {
      reads.insert(reads.end(), list->ids.begin(), list->ids.end());
    }
  }
  return reads;
}

// Where tensors have their memory: each is a view of its parent, made by a call.
struct Memory {
  struct View {
    int32_t parent = -1;
    size_t call = 0;
  };
  std::vector<View> views;  // by id

  std::vector<int32_t> PathTo(int32_t id) const {
    std::vector<int32_t> path;
    for (; id >= 0; id = views[id].parent) path.push_back(id);
    std::reverse(path.begin(), path.end());
    return path;
  }

  // Parts that one call made, as chunk does, have nothing in common.
  bool MayOverlap(int32_t a, int32_t b) const {
    const auto to_a = PathTo(a), to_b = PathTo(b);
    if (to_a.front() != to_b.front()) return false;
    for (size_t i = 1; i < std::min(to_a.size(), to_b.size()); ++i) {
      if (to_a[i] != to_b[i]) return views[to_a[i]].call != views[to_b[i]].call;
    }
    return true;
  }
};

}  // namespace

absl::StatusOr<Trace> TraceFunction(const TracedFunction& function,
                                    const std::vector<at::Tensor>& inputs,
                                    const std::vector<at::Tensor>& state) {
  torch::jit::Stack stack(inputs.begin(), inputs.end());
  stack.insert(stack.end(), state.begin(), state.end());
  const auto traced = [&](torch::jit::Stack given) {
    std::vector<at::Tensor> arguments;
    for (size_t i = 0; i < inputs.size(); ++i) arguments.push_back(given[i].toTensor());
    const std::vector<at::Tensor> results = function(arguments);
    return torch::jit::Stack(results.begin(), results.end());
  };
  const auto result = torch::jit::tracer::trace(
      std::move(stack), traced, [](const at::Tensor&) { return std::string(); }, /*strict=*/true,
      /*force_outplace=*/false);
  return Reader().Read(*result.first->graph);
}

bool IsInPlace(const TracedCall& call) {
  const absl::string_view kind = call.kind.toQualString();
  return absl::EndsWith(kind, "_") && !absl::EndsWith(kind, "__");
}

absl::Status CheckInPlaceCalls(const Trace& trace) {
  Memory memory;
  memory.views.resize(trace.shapes.size());
  std::vector<size_t> last_read(trace.shapes.size(), 0), made(trace.shapes.size(), 0);
  for (size_t i = 0; i < trace.calls.size(); ++i) {
    const TracedCall& call = trace.calls[i];
    const auto first = FirstTensor(call);
    for (const int32_t output : call.outputs) {
      made[output] = i + 1;
      if (first && MayBeView(call)) memory.views[output] = {*first, i};
    }
    for (const int32_t id : Reads(call)) {
      if (id >= 0) last_read[id] = i;
    }
  }
  for (const int32_t id : trace.outputs) last_read[id] = trace.calls.size();
  for (size_t i = 0; i < trace.calls.size(); ++i) {
    const auto changed = FirstTensor(trace.calls[i]);
    if (!IsInPlace(trace.calls[i]) || !changed) continue;
    for (size_t other = 0; other < last_read.size(); ++other) {
      if (last_read[other] <= i || made[other] > i) continue;
      if (!memory.MayOverlap(*changed, static_cast<int32_t>(other))) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          trace.calls[i].kind.toQualString(), ", operator ", i,
          ", changes a tensor of which another view is read later by ",
          last_read[other] < trace.calls.size() ? trace.calls[last_read[other]].kind.toQualString()
                                                : "the output",
          ": use the operator that does not work in place"));
    }
  }
  return absl::OkStatus();
}

}  // namespace sluice::graph
