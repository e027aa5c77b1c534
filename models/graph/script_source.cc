#include "models/graph/script_source.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace sluice::graph {
namespace {

using Tensors = std::vector<at::Tensor>;

// Tensors in results, in order.
absl::Status Flatten(const c10::IValue& value, Tensors& tensors) {
  if (value.isTensor()) {
    tensors.push_back(value.toTensor());
    return absl::OkStatus();
  }
  if (value.isTuple()) {
    for (const c10::IValue& element : value.toTupleRef().elements()) {
      SLUICE_RETURN_IF_ERROR(Flatten(element, tensors));
    }
    return absl::OkStatus();
  }
  if (value.isList()) {
    for (const c10::IValue& element : value.toListRef()) {
      SLUICE_RETURN_IF_ERROR(Flatten(element, tensors));
    }
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("forward returns a ", value.tagKind(),
                   ": it should return tensors, or tuples and lists of them"));
}

}  // namespace

ScriptSource::ScriptSource(torch::jit::Module module) : module_(std::move(module)) {
  StateList states;
  Collect(module_, "", states);
  source_.states = states.states();
  source_.forward = [this](const Tensors& inputs) { return Forward(inputs); };
  source_.train = [this](bool on) {
    for (const Mode& mode : modes_) mode.object->setSlot(mode.number, on);
  };
  bool parameters = false;
  for (const State& state : source_.states) parameters = parameters || state.parameter;
  source_.constants_are_weights = !parameters;
}

ScriptSource::~ScriptSource() {
  for (const Mode& mode : modes_) mode.object->setSlot(mode.number, mode.before);
}

void ScriptSource::Collect(const torch::jit::Module& module, const std::string& prefix,
                           StateList& states) {
  const auto object = module._ivalue();
  const auto type = object->type();
  for (size_t i = 0; i < type->numAttributes(); ++i) {
    const std::string& name = type->getAttributeName(i);
    if (name == "training" && object->getSlot(i).isBool()) {
      modes_.push_back({object, i, object->getSlot(i).toBool()});
    }
    if (!object->getSlot(i).isTensor() || !object->getSlot(i).toTensor().defined()) continue;
    const at::Tensor one =
        states.Add(prefix + name, object->getSlot(i).toTensor(), type->is_parameter(i));
    object->setSlot(i, one);
    slots_.push_back({object, i, one});
  }
  for (const auto& child : module.named_children()) {
    Collect(child.value, absl::StrCat(prefix, child.name, "."), states);
  }
}

Tensors ScriptSource::Forward(const Tensors& inputs) {
  std::vector<c10::IValue> arguments(inputs.begin(), inputs.end());
  const auto& schema = module_.get_method("forward").function().getSchema().arguments();
  if (schema.size() == 2) {  // 0 is self
    const c10::TypeKind kind = schema[1].type()->kind();
    if (kind == c10::TypeKind::TupleType) {
      arguments = {c10::ivalue::Tuple::create(std::move(arguments))};
    } else if (kind == c10::TypeKind::ListType) {
      arguments = {c10::IValue(inputs)};
    }
  }
  const c10::IValue returned = module_.forward(std::move(arguments));
  // Assigned attributes become what is changed in place.
  for (Slot& slot : slots_) {
    const at::Tensor now = slot.object->getSlot(slot.number).toTensor();
    if (now.is_same(slot.tensor)) continue;
    slot.tensor.copy_(now);
    slot.object->setSlot(slot.number, slot.tensor);
  }
  Tensors results;
  result_ = Flatten(returned, results);
  return results;
}

}  // namespace sluice::graph
