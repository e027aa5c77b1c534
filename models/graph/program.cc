#include "models/graph/program.h"

#include <ATen/Functions.h>
#include <torch/csrc/jit/ir/constants.h>

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "models/graph/leave_out.h"

namespace sluice::graph {
namespace {

using torch::jit::Value;

class Emitter {
 public:
  Emitter(const Program& program, bool in_doubles)
      : program_(program),
        in_doubles_(in_doubles),
        graph_(std::make_shared<torch::jit::Graph>()),
        values_(program.values, nullptr) {}

  std::shared_ptr<torch::jit::Graph> Emit() {
    for (int32_t i = 0; i < program_.inputs; ++i) values_[i] = AddInput(absl::StrCat("input", i));
    for (size_t i = 0; i < program_.states.size(); ++i) {
      values_[program_.IdOfState(i)] = AddInput(absl::StrCat("state", i));
    }
    training_ = graph_->addInput("training_mode");
    training_->setType(c10::BoolType::get());
    EmitExtents();
    for (auto step = program_.steps.begin(); step != program_.steps.end();) {
      if (step->node >= 0) {
        EmitStep(*step++);
        continue;
      }
      torch::jit::Node* const branch =
          graph_->insertNode(graph_->create(c10::prim::If, {training_}, 0));
      torch::jit::Block* const trains = branch->addBlock();
      branch->addBlock();
      const torch::jit::WithInsertPoint inside(trains);
      for (; step != program_.steps.end() && step->node < 0; ++step) EmitStep(*step);
    }
    EmitOutputs();
    return graph_;
  }

 private:
  Value* AddInput(const std::string& name) {
    Value* const value = graph_->addInput(name);
    value->setType(c10::TensorType::get());
    return value;
  }

  Value* Call(c10::Symbol kind, std::vector<Value*> arguments, c10::TypePtr type) {
    torch::jit::Node* const node = graph_->insertNode(graph_->create(kind, arguments, 1));
    node->output()->setType(std::move(type));
    return node->output();
  }

  // All that follow the batch, before what reads them.
  void EmitExtents() {
    Value* samples = nullptr;
    for (const Step& step : program_.steps) {
      for (const Argument& argument : step.arguments) {
        const auto* const numbers = std::get_if<Argument::Numbers>(&argument.of);
        if (numbers == nullptr) continue;
        for (const Extent& extent : numbers->extents) {
          Value*& value = extents_[{extent.factor, extent.offset}];
          if (extent.factor == 0 || value != nullptr) continue;
          const auto integer = c10::IntType::get();
          if (samples == nullptr) {
            samples =
                Call(c10::aten::size,
                     {values_[program_.batched], graph_->insertConstant(int64_t{0})}, integer);
          }
          value = samples;
          if (extent.factor != 1) {
            value = Call(c10::aten::mul, {value, graph_->insertConstant(extent.factor)}, integer);
          }
          if (extent.offset != 0) {
            value = Call(c10::aten::add, {value, graph_->insertConstant(extent.offset)}, integer);
          }
        }
      }
    }
  }

  Value* EmitExtent(const Extent& extent) {
    if (extent.factor == 0) return graph_->insertConstant(extent.offset);
    return extents_.at({extent.factor, extent.offset});
  }

  Value* EmitList(const c10::TypePtr& element, std::vector<Value*> values) {
    return graph_->insertNode(graph_->createList(element, values))->output();
  }

  Value* EmitArgument(const Argument& argument) {
    if (const auto* const id = std::get_if<ValueId>(&argument.of)) return values_[*id];
    if (const auto* const constant = std::get_if<c10::IValue>(&argument.of)) {
      return graph_->insertConstant(*constant);
    }
    std::vector<Value*> elements;
    if (const auto* const tensors = std::get_if<Argument::Tensors>(&argument.of)) {
      for (const ValueId id : tensors->ids) {
        elements.push_back(id >= 0 ? values_[id] : graph_->insertConstant(c10::IValue()));
      }
      c10::TypePtr element = c10::TensorType::get();
      if (tensors->optional) element = c10::OptionalType::create(element);
      return EmitList(element, std::move(elements));
    }
    if (const auto* const numbers = std::get_if<Argument::Numbers>(&argument.of)) {
      for (const Extent& extent : numbers->extents) elements.push_back(EmitExtent(extent));
      return numbers->list ? EmitList(c10::IntType::get(), std::move(elements)) : elements.front();
    }
    const Argument::Mode mode = std::get<Argument::Mode>(argument.of);
    if (mode.train && !mode.evaluate) return training_;
    return Call(c10::aten::__not__, {training_}, c10::BoolType::get());
  }

  void EmitStep(const Step& step) {
    std::vector<Value*> arguments;
    for (const Argument& argument : step.arguments) arguments.push_back(EmitArgument(argument));
    torch::jit::Node* node =
        graph_->create(step.kind, arguments, step.returns_list ? 1 : step.outputs.size());
    if (step.returns_list) node->output()->setType(c10::ListType::ofTensors());
    graph_->insertNode(node);
    if (in_doubles_) NameDoubles(*node);
    if (step.returns_list) {
      node = graph_->insertNode(graph_->createListUnpack(node->output(), step.outputs.size()));
    }
    for (size_t i = 0; i < step.outputs.size(); ++i) {
      node->output(i)->setType(c10::TensorType::get());
      values_[step.outputs[i]] = node->output(i);
    }
  }

  void NameDoubles(torch::jit::Node& node) {
    const c10::FunctionSchema* const schema = node.maybeSchema();
    for (size_t i = 0; schema != nullptr && i < node.inputs().size(); ++i) {
      if (schema->arguments()[i].name() != "dtype") continue;
      const auto type = torch::jit::toIValue(node.input(i));
      if (!type || !type->isInt() || type->toInt() != static_cast<int64_t>(at::kFloat)) continue;
      const torch::jit::WithInsertPoint before(&node);
      node.replaceInput(i, graph_->insertConstant(static_cast<int64_t>(at::kDouble)));
    }
  }

  void EmitOutputs() {
    std::vector<Value*> outputs;
    for (const ValueId id : program_.outputs) outputs.push_back(values_[id]);
    if (outputs.size() == 1) {
      graph_->registerOutput(outputs.front());
      return;
    }
    graph_->registerOutput(graph_->insertNode(graph_->createTuple(outputs))->output());
  }

  const Program& program_;
  const bool in_doubles_;
  const std::shared_ptr<torch::jit::Graph> graph_;
  std::vector<Value*> values_;
  std::map<std::pair<int64_t, int64_t>, Value*> extents_;
  Value* training_ = nullptr;
};

absl::Status Shrink(const Slice& slice, Program& program) {
  for (State& state : program.states) {
    if (state.name != slice.state) continue;
    const int64_t extent = slice.dim < state.tensor.dim() ? state.tensor.size(slice.dim) : 0;
    if (slice.indices.empty() || slice.indices.front() < 0 || slice.indices.back() >= extent) {
      return absl::InvalidArgumentError(
          absl::StrCat("cut of \"", slice.state, "\" along dimension ", slice.dim, ": ",
                       slice.indices.size(), " indices to keep of an extent of ", extent));
    }
    state.tensor = state.tensor.detach().index_select(slice.dim, at::tensor(slice.indices));
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("cut of \"", slice.state, "\": there is no such parameter or buffer"));
}

absl::Status Replace(const Cut::Constant& constant, Step& step, int64_t samples) {
  const auto refuse = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("cut of operand ", constant.operand, " of ",
                                                   step.kind.toQualString(), ", node ",
                                                   constant.node, ": ", why));
  };
  if (constant.operand < 0 || static_cast<size_t>(constant.operand) >= step.arguments.size()) {
    return refuse("there is no such operand");
  }
  auto* const numbers = std::get_if<Argument::Numbers>(&step.arguments[constant.operand].of);
  const size_t element = constant.element < 0 ? 0 : constant.element;
  if (numbers == nullptr || element >= numbers->extents.size()) return refuse("it is no integer");
  Extent& extent = numbers->extents[element];
  if (extent.factor == 0) {
    extent.offset = constant.value;
    return absl::OkStatus();
  }
  if (extent.offset != 0 || constant.value % samples != 0) {
    return refuse(absl::StrCat(constant.value, " does not follow the batch"));
  }
  extent.factor = constant.value / samples;
  return absl::OkStatus();
}

}  // namespace

std::shared_ptr<torch::jit::Graph> EmitGraph(const Program& program, bool in_doubles) {
  return Emitter(program, in_doubles).Emit();
}

absl::StatusOr<Program> ApplyCut(const Program& program, const Cut& cut) {
  Program smaller = program;
  for (const Slice& slice : cut.kept) {
    if (absl::Status status = Shrink(slice, smaller); !status.ok()) return status;
  }
  std::map<int32_t, Step*> steps;
  for (Step& step : smaller.steps) steps[step.node] = &step;
  for (const Cut::Constant& constant : cut.constants) {
    const auto step = steps.find(constant.node);
    if (constant.node < 0 || step == steps.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("cut of a constant of node ", constant.node, ": there is no such node"));
    }
    if (absl::Status status = Replace(constant, *step->second, program.samples); !status.ok()) {
      return status;
    }
  }
  SLUICE_RETURN_IF_ERROR(LeaveOut(cut, &smaller));
  return smaller;
}

}  // namespace sluice::graph
