#include "models/torchscript/torchscript_network.h"

#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/types.h>
#include <torch/version.h>
#include <xxhash.h>

#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <sstream>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "models/torch_guard.h"
#include "models/torchscript/script_graph.h"

namespace sluice {
namespace {

using torch::jit::IValue;
using Inputs = std::vector<at::Tensor>;

// A tensor attribute of one of the modules inside.
struct Slot {
  c10::intrusive_ptr<c10::ivalue::Object> object;
  size_t number;

  at::Tensor Get() const { return object->getSlot(number).toTensor(); }
  void Set(const at::Tensor& tensor) const { object->setSlot(number, tensor); }
};

// How forward takes the inputs of a batch.
enum class Arguments { kOneEach, kTuple, kList };

absl::Status Invalid(absl::string_view path, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("model.torchscript \"", path, "\": ", why));
}

// The interpreter's message ends with what it is about; before that it quotes the module's code.
std::string ShortMessage(const std::exception& thrown) {
  std::string text = TorchMessage(thrown);
  const size_t error = text.rfind("Error: ");
  if (error != std::string::npos) text.erase(0, error + 7);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

std::string ShapesOf(const Inputs& inputs) {
  return absl::StrJoin(inputs, ", ", [](std::string* out, const at::Tensor& tensor) {
    absl::StrAppend(out, absl::StrJoin(tensor.sizes(), " x "), " ",
                    c10::toString(tensor.scalar_type()));
  });
}

IValue Call(torch::jit::Module& module, Arguments arguments, const Inputs& inputs) {
  // The optimising executor profiles its first steps, slowly, and changes the order in which gradients become ready.
  const torch::jit::GraphOptimizerEnabledGuard as_written(false);
  switch (arguments) {
    case Arguments::kOneEach:
      break;
    case Arguments::kTuple:
      return module.forward(
          {c10::ivalue::Tuple::create(std::vector<IValue>(inputs.begin(), inputs.end()))});
    case Arguments::kList:
      return module.forward({IValue(inputs)});
  }
  return module.forward(std::vector<IValue>(inputs.begin(), inputs.end()));
}

absl::StatusOr<Arguments> ArgumentsOf(const std::string& path, const torch::jit::Module& module,
                                      size_t inputs) {
  if (!module.find_method("forward")) return Invalid(path, "it has no forward");
  const auto& all = module.get_method("forward").function().getSchema().arguments();
  size_t needed = 0;
  for (size_t i = 1; i < all.size(); ++i) needed += all[i].default_value() ? 0 : 1;  // 0 is self
  if (all.size() == 2) {
    const c10::TypePtr type = all[1].type();
    if (type->kind() == c10::TypeKind::ListType) return Arguments::kList;
    if (type->kind() == c10::TypeKind::TupleType) {
      if (type->containedTypes().size() == inputs) return Arguments::kTuple;
      return Invalid(path, absl::StrCat("forward takes a tuple of ", type->containedTypes().size(),
                                        " inputs, the data set has ", inputs));
    }
  }
  if (needed <= inputs && inputs < all.size()) return Arguments::kOneEach;
  return Invalid(path,
                 absl::StrCat("forward takes ", needed, " inputs, the data set has ", inputs));
}

// Memory and layout of a tensor: equal for tied parameters.
using Place = std::tuple<const void*, int64_t, std::vector<int64_t>, std::vector<int64_t>>;
Place PlaceOf(const at::Tensor& tensor) {
  return {tensor.storage().unsafeGetStorageImpl(), tensor.storage_offset(), tensor.sizes().vec(),
          tensor.strides().vec()};
}

// Elements of the storage that a tensor reaches over.
std::pair<int64_t, int64_t> ExtentOf(const at::Tensor& tensor) {
  int64_t end = tensor.storage_offset() + (tensor.numel() > 0 ? 1 : 0);
  for (int64_t d = 0; tensor.numel() > 0 && d < tensor.dim(); ++d) {
    end += (tensor.size(d) - 1) * tensor.stride(d);
  }
  return {tensor.storage_offset(), end};
}

class ScriptNetwork : public Network {
 public:
  ScriptNetwork(std::string path, torch::jit::Module module, Arguments arguments, uint64_t digest)
      : path_(std::move(path)),
        module_(std::move(module)),
        arguments_(arguments),
        digest_(digest) {}

  /// Registers what is trained, after a trial of forward and backward.
  absl::Status Take(const Inputs& example, const std::vector<int64_t>& logits) {
    SLUICE_RETURN_IF_ERROR(CheckGraph());
    SLUICE_RETURN_IF_ERROR(TidyParameters());
    std::vector<Slot> buffers;
    SLUICE_RETURN_IF_ERROR(Try(example, logits, &buffers));
    std::map<Place, std::string> names;
    Mirror(module_, *this, "", buffers, names);
    train(true);
    for (const Slot& slot : TensorSlots(module_)) {
      const at::Tensor tensor = slot.Get();
      if (names.count(PlaceOf(tensor)) == 0) constants_.push_back({slot, tensor._version()});
    }
    return absl::OkStatus();
  }

  torch::Tensor forward(const Inputs& inputs) override {
    const at::Tensor logits = Call(module_, arguments_, inputs).toTensor();
    KeepBuffers();
    return logits;
  }

  void train(bool on) override {
    torch::nn::Module::train(on);
    SetTraining(on);
  }

  void WriteArchive(std::ostream& out) const override {
    SetTraining(false);
    module_.save(out);
    SetTraining(is_training());
  }

  uint64_t file_digest() const override { return digest_; }

 private:
  struct Constant {
    Slot slot;
    int64_t version;  // torch counts changes in place
  };
  struct Buffer {
    Slot slot;
    at::Tensor registered;
  };

  // In the order of registration, modules after their parent's own attributes.
  static std::vector<Slot> TensorSlots(const torch::jit::Module& root) {
    std::vector<Slot> slots;
    for (const torch::jit::Module& module : root.modules()) {
      const auto object = module._ivalue();
      for (size_t i = 0; i < object->type()->numAttributes(); ++i) {
        if (object->getSlot(i).isTensor() && object->getSlot(i).toTensor().defined()) {
          slots.push_back({object, i});
        }
      }
    }
    return slots;
  }

  static bool IsParameter(const Slot& slot) {
    return slot.object->type()->is_parameter(slot.number);
  }
  static bool IsTrained(const Slot& slot) {
    return IsParameter(slot) && slot.Get().requires_grad();
  }
  // Of batch norm, which may be in a branch that was not taken.
  static bool IsStatistic(const std::string& name) {
    return name == "running_mean" || name == "running_var" || name == "num_batches_tracked";
  }
  static std::string NameOf(const Slot& slot) {
    return slot.object->type()->getAttributeName(slot.number);
  }

  absl::Status CheckGraph() const {
    const ScriptGraph graph = InspectForward(module_);
    bool parameters = false, trained = false;
    for (const Slot& slot : TensorSlots(module_)) {
      parameters = parameters || IsParameter(slot);
      trained = trained || IsTrained(slot);
    }
    if (!parameters && graph.has_constant_weights) {
      return Invalid(path_,
                     "it is frozen, its weights are constants and cannot be trained: save the "
                     "module as it was before "
                     "torch.jit.freeze or optimize_for_inference");
    }
    if (!parameters) return Invalid(path_, "it has no parameters: nothing to train");
    if (!trained) {
      return Invalid(path_,
                     "none of its parameters has requires_grad: call module.requires_grad_() "
                     "before it is saved");
    }
    if (!graph.without_gradient.empty()) {
      return Invalid(
          path_,
          absl::StrCat("it uses ", absl::StrJoin(graph.without_gradient, ", "),
                       ", which has no gradient: trace the module in training mode, with gradients "
                       "enabled, and do not quantise it"));
    }
    if (!graph.assigned.empty()) {
      return Invalid(
          path_,
          absl::StrCat("forward assigns \"", graph.assigned.front(),
                       "\", which is no tensor: a checkpoint could not hold it. Make it a buffer"));
    }
    if (graph.always_evaluating) {
      SLUICE_LOG(Warning, "model.torchscript \"", path_,
                 "\" was traced in evaluation mode: dropout does nothing, and batch norm's "
                 "statistics stay as they "
                 "are. Trace it after module.train(), or script it");
    }
    if (graph.always_training) {
      SLUICE_LOG(Warning, "model.torchscript \"", path_,
                 "\" was traced in training mode: batch norm and dropout also train when it is "
                 "evaluated. Script it");
    }
    return absl::OkStatus();
  }

  // Makes parameters that are trained contiguous, and tied ones one tensor.
  absl::Status TidyParameters() {
    std::map<Place, at::Tensor> tidy;
    std::vector<Slot> trained;
    for (const Slot& slot : TensorSlots(module_)) {
      if (!IsTrained(slot)) continue;
      const at::Tensor tensor = slot.Get();
      if (tensor.scalar_type() != at::kFloat || tensor.layout() != c10::kStrided ||
          !tensor.is_cpu()) {
        return Invalid(
            path_,
            absl::StrCat("parameter \"", NameOf(slot), "\" is ",
                         c10::toString(tensor.scalar_type()), ", ", c10::str(tensor.layout()),
                         ": only dense fp32 is trained; call module.float() before it is saved"));
      }
      const auto [begin, end] = ExtentOf(tensor);
      for (const Slot& other : trained) {
        const at::Tensor before = other.Get();
        if (before.storage().unsafeGetStorageImpl() != tensor.storage().unsafeGetStorageImpl())
          continue;
        const auto [other_begin, other_end] = ExtentOf(before);
        if (begin >= other_end || other_begin >= end || PlaceOf(before) == PlaceOf(tensor))
          continue;
        return Invalid(
            path_, absl::StrCat(
                       "parameters \"", NameOf(other), "\" and \"", NameOf(slot),
                       "\" share memory in different shapes: tie whole parameters, and take views "
                       "of them in forward"));
      }
      trained.push_back(slot);
      tidy.emplace(PlaceOf(tensor), tensor);
    }
    for (auto& [place, tensor] : tidy) {
      if (tensor.is_contiguous()) continue;
      tensor = tensor.detach().clone(at::MemoryFormat::Contiguous).requires_grad_();
    }
    for (const Slot& slot : trained) slot.Set(tidy.at(PlaceOf(slot.Get())));
    return absl::OkStatus();
  }

  // Forward and backward on a copy. \param buffers  tensors that forward changes
  absl::Status Try(const Inputs& example, const std::vector<int64_t>& logits,
                   std::vector<Slot>* buffers) const {
    torch::jit::Module copy = module_.deepcopy();
    const std::vector<Slot> ours = TensorSlots(module_), theirs = TensorSlots(copy);
    for (const Slot& slot : theirs) {  // a copied parameter is a result of its original
      const at::Tensor tensor = slot.Get();
      if (!tensor.is_leaf()) slot.Set(tensor.detach().requires_grad_(IsParameter(slot)));
    }
    std::vector<at::Tensor> before, values;
    for (const Slot& slot : theirs) {
      before.push_back(slot.Get());
      values.push_back(slot.Get().detach().clone());
    }
    const std::string what = absl::StrCat("forward of ", ShapesOf(example));
    at::Tensor result;
    try {
      const IValue returned = Call(copy, arguments_, example);
      if (!returned.isTensor()) {
        return Invalid(path_, absl::StrCat(what, " returns ", returned.tagKind(),
                                           ": it should return the logits alone, one tensor"));
      }
      result = returned.toTensor();
    } catch (const std::exception& thrown) {
      return Invalid(path_, absl::StrCat(what, " fails: ", ShortMessage(thrown)));
    }
    if (result.sizes() != logits || result.scalar_type() != at::kFloat) {
      return Invalid(path_,
                     absl::StrCat(what, " gives ", ShapesOf({result}), ", expected logits of ",
                                  absl::StrJoin(logits, " x "), " Float"));
    }
    try {
      result.square().sum().backward();
    } catch (const std::exception& thrown) {
      return Invalid(path_, absl::StrCat("it has no gradient: ", ShortMessage(thrown)));
    }
    for (size_t i = 0; i < theirs.size(); ++i) {
      // By value: torch does not count what batch norm changes.
      const bool changed = IsStatistic(NameOf(ours[i])) || !theirs[i].Get().is_same(before[i]) ||
                           !torch::equal(before[i].detach(), values[i]);
      if (IsTrained(ours[i])) {
        if (changed) {
          return Invalid(path_, absl::StrCat("forward changes parameter \"", NameOf(ours[i]),
                                             "\": only the optimiser may"));
        }
        if (!before[i].grad().defined()) {
          SLUICE_LOG(Warning, "model.torchscript \"", path_,
                     "\": forward does not use parameter \"", NameOf(ours[i]), "\"");
        }
        continue;
      }
      if (!changed) continue;
      const at::ScalarType type = before[i].scalar_type();
      if (type != at::kFloat && type != at::kLong) {
        return Invalid(path_, absl::StrCat("forward changes buffer \"", NameOf(ours[i]),
                                           "\", which is ", c10::toString(type),
                                           ": only fp32 and int64 are kept in checkpoints"));
      }
      if (!ours[i].Get().is_contiguous()) ours[i].Set(ours[i].Get().contiguous());
      buffers->push_back(ours[i]);
    }
    return absl::OkStatus();
  }

  // The tree of modules, with the tensors that are trained or that forward changes; each once.
  void Mirror(const torch::jit::Module& from, torch::nn::Module& to, const std::string& prefix,
              const std::vector<Slot>& buffers, std::map<Place, std::string>& names) {
    const auto object = from._ivalue();
    for (size_t i = 0; i < object->type()->numAttributes(); ++i) {
      if (!object->getSlot(i).isTensor() || !object->getSlot(i).toTensor().defined()) continue;
      const Slot slot{object, i};
      const at::Tensor tensor = slot.Get();
      bool is_buffer = false;
      for (const Slot& buffer : buffers) {
        is_buffer = is_buffer || (buffer.object == object && buffer.number == i);
      }
      if (!is_buffer && !IsTrained(slot)) continue;
      if (!names.emplace(PlaceOf(tensor), prefix + NameOf(slot)).second) continue;
      if (is_buffer) {
        to.register_buffer(NameOf(slot), tensor);
        buffers_.push_back({slot, tensor});
      } else {
        to.register_parameter(NameOf(slot), tensor);
      }
    }
    for (const auto& child : from.named_children()) {
      auto mirrored = std::make_shared<torch::nn::Module>(child.name);
      Mirror(child.value, *mirrored, absl::StrCat(prefix, child.name, "."), buffers, names);
      to.register_module(child.name, std::move(mirrored));
    }
  }

  // Older files assign a buffer where newer ones change it in place: what is registered stays the module's.
  // Throws where forward changed what no checkpoint holds.
  void KeepBuffers() {
    const torch::NoGradGuard no_gradients;
    for (Buffer& buffer : buffers_) {
      const at::Tensor now = buffer.slot.Get();
      if (now.is_same(buffer.registered)) continue;
      buffer.registered.copy_(now);
      buffer.slot.Set(buffer.registered);
    }
    for (const Constant& constant : constants_) {
      TORCH_CHECK(constant.slot.Get()._version() == constant.version, "model.torchscript \"", path_,
                  "\": forward changes \"", NameOf(constant.slot),
                  "\", which it did not when it was tried: a checkpoint would not hold it");
    }
  }

  // Frozen and traced modules may lack the flag.
  void SetTraining(bool on) const {
    for (const torch::jit::Module& module : module_.modules()) {
      if (const auto slot = module._ivalue()->type()->findAttributeSlot("training")) {
        module._ivalue()->setSlot(*slot, on);
      }
    }
  }

  const std::string path_;
  torch::jit::Module module_;
  const Arguments arguments_;
  const uint64_t digest_;
  std::vector<Buffer> buffers_;
  std::vector<Constant> constants_;
};

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(in), {}};
  if (in.is_open() && !in.bad() && !bytes.empty()) return bytes;
  return absl::NotFoundError(absl::StrCat("model.torchscript \"", path,
                                          "\": no such file, or an empty one. A relative path "
                                          "starts where the job is started, on every host"));
}

}  // namespace

absl::StatusOr<std::shared_ptr<Network>> LoadTorchScript(const std::string& path,
                                                         const std::vector<at::Tensor>& example,
                                                         const std::vector<int64_t>& logits) {
  SLUICE_ASSIGN_OR_RETURN(std::string bytes, ReadFile(path));
  const uint64_t digest = XXH3_64bits(bytes.data(), bytes.size());
  std::optional<torch::jit::Module> module;
  try {
    std::istringstream in(std::move(bytes));
    module = torch::jit::load(in, c10::kCPU);
  } catch (const std::exception& thrown) {
    return absl::DataLossError(
        absl::StrCat("model.torchscript \"", path, "\": LibTorch ", TORCH_VERSION,
                     " cannot read it as TorchScript: ", ShortMessage(thrown),
                     ". Save it with torch.jit.script(module).save(path), not with torch.save"));
  }
  return TorchGuard(absl::StrCat("model.torchscript \"", path, "\""),
                    [&]() -> absl::StatusOr<std::shared_ptr<Network>> {
                      SLUICE_ASSIGN_OR_RETURN(const Arguments arguments,
                                              ArgumentsOf(path, *module, example.size()));
                      auto network =
                          std::make_shared<ScriptNetwork>(path, *module, arguments, digest);
                      SLUICE_RETURN_IF_ERROR(network->Take(example, logits));
                      return network;
                    });
}

}  // namespace sluice
