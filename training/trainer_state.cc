#include "training/trainer_state.h"

#include <ATen/ops/empty_like.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>

#include <cstring>
#include <initializer_list>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace sluice {
namespace {

constexpr char kMomentum[] = "momentum_buffer";
constexpr char kStep[] = "step";
constexpr char kFirstMoment[] = "exp_avg";
constexpr char kSecondMoment[] = "exp_avg_sq";

std::string StateName(absl::string_view kind, const std::string& parameter) {
  return absl::StrCat("optimizer.", kind, ".", parameter);
}

// As torch's optimisers key it.
std::string KeyOf(const at::Tensor& parameter) {
  return c10::guts::to_string(parameter.unsafeGetTensorImpl());
}

SafeTensor Borrow(std::string name, const at::Tensor& tensor) {
  const bool is_float = tensor.scalar_type() == at::kFloat;
  SLUICE_CHECK(tensor.is_contiguous() && (is_float || tensor.scalar_type() == at::kLong),
               "state is fp32 or int64, one run of memory each");
  return {std::move(name),
          is_float ? "F32" : "I64",
          tensor.sizes().vec(),
          {static_cast<const char*>(tensor.data_ptr()), tensor.nbytes()}};
}

absl::StatusOr<const SafeTensor*> FindLike(const SafeTensors& from, const std::string& name,
                                           absl::string_view dtype,
                                           const std::vector<int64_t>& shape) {
  const SafeTensor* const found = from.Find(name);
  if (found == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("tensor ", name, " is not there: written for another model or optimizer"));
  }
  if (found->dtype == dtype && found->shape == shape) return found;
  return absl::FailedPreconditionError(
      absl::StrCat("tensor ", name, " has another shape or type: written for another model"));
}

// A copy of `from` shaped as `like`.
at::Tensor CopyLike(const at::Tensor& like, const SafeTensor& from) {
  at::Tensor copy = at::empty_like(like, at::MemoryFormat::Contiguous);
  std::memcpy(copy.data_ptr(), from.bytes.data(), from.bytes.size());
  return copy;
}

using State = std::unique_ptr<torch::optim::OptimizerParamState>;

// Adam's and AdamW's are two classes with the same members.
template <class Moments>
absl::StatusOr<State> ReadMoments(const SafeTensors& from, const NamedParameter& parameter) {
  const std::vector<int64_t> shape = parameter.tensor.sizes().vec();
  SLUICE_ASSIGN_OR_RETURN(const SafeTensor* count,
                          FindLike(from, StateName(kStep, parameter.name), "I64", {}));
  SLUICE_ASSIGN_OR_RETURN(const SafeTensor* first,
                          FindLike(from, StateName(kFirstMoment, parameter.name), "F32", shape));
  SLUICE_ASSIGN_OR_RETURN(const SafeTensor* second,
                          FindLike(from, StateName(kSecondMoment, parameter.name), "F32", shape));
  auto state = std::make_unique<Moments>();
  int64_t step = 0;
  std::memcpy(&step, count->bytes.data(), sizeof(step));
  state->step(step);
  state->exp_avg(CopyLike(parameter.tensor, *first));
  state->exp_avg_sq(CopyLike(parameter.tensor, *second));
  return State(std::move(state));
}

absl::StatusOr<State> ReadSgd(const SafeTensors& from, const NamedParameter& parameter) {
  SLUICE_ASSIGN_OR_RETURN(
      const SafeTensor* momentum,
      FindLike(from, StateName(kMomentum, parameter.name), "F32", parameter.tensor.sizes().vec()));
  auto state = std::make_unique<torch::optim::SGDParamState>();
  state->momentum_buffer(CopyLike(parameter.tensor, *momentum));
  return State(std::move(state));
}

// How a kind of optimiser keeps a parameter's state.
struct Format {
  const char* first;  // the tensor that a parameter has if it has any
  absl::StatusOr<State> (*read)(const SafeTensors&, const NamedParameter&);
};

Format FormatOf(const torch::optim::Optimizer& optimizer) {
  if (dynamic_cast<const torch::optim::SGD*>(&optimizer) != nullptr) return {kMomentum, ReadSgd};
  if (dynamic_cast<const torch::optim::AdamW*>(&optimizer) != nullptr) {
    return {kStep, ReadMoments<torch::optim::AdamWParamState>};
  }
  return {kStep, ReadMoments<torch::optim::AdamParamState>};  // Adam and Lamb
}

// \return whether the state is one of these
template <class Moments>
bool AddMoments(const torch::optim::OptimizerParamState& state, const std::string& parameter,
                std::vector<int64_t>* counts, std::vector<SafeTensor>* tensors) {
  const auto* const moments = dynamic_cast<const Moments*>(&state);
  if (moments == nullptr) return false;
  counts->push_back(moments->step());
  tensors->push_back({StateName(kStep, parameter),
                      "I64",
                      {},
                      {reinterpret_cast<const char*>(&counts->back()), sizeof(int64_t)}});
  tensors->push_back(Borrow(StateName(kFirstMoment, parameter), moments->exp_avg()));
  tensors->push_back(Borrow(StateName(kSecondMoment, parameter), moments->exp_avg_sq()));
  return true;
}

}  // namespace

std::vector<SafeTensor> ParameterTensors(const std::vector<NamedParameter>& parameters) {
  std::vector<SafeTensor> tensors;
  for (const NamedParameter& parameter : parameters) {
    tensors.push_back(Borrow(parameter.name, parameter.tensor));
  }
  return tensors;
}

std::vector<SafeTensor> BufferTensors(const Network& network) {
  std::vector<SafeTensor> tensors;
  for (const auto& item : network.named_buffers()) {
    tensors.push_back(Borrow(item.key(), item.value()));
  }
  return tensors;
}

std::vector<SafeTensor> OptimizerTensors(const torch::optim::Optimizer& optimizer,
                                         const std::vector<NamedParameter>& parameters,
                                         std::vector<int64_t>* counts) {
  std::vector<SafeTensor> tensors;
  counts->clear();
  counts->reserve(parameters.size());  // they are borrowed
  for (const NamedParameter& parameter : parameters) {
    const auto found = optimizer.state().find(KeyOf(parameter.tensor));
    if (found == optimizer.state().end()) continue;
    const torch::optim::OptimizerParamState& state = *found->second;
    if (AddMoments<torch::optim::AdamParamState>(state, parameter.name, counts, &tensors) ||
        AddMoments<torch::optim::AdamWParamState>(state, parameter.name, counts, &tensors)) {
      continue;
    }
    const auto& sgd = static_cast<const torch::optim::SGDParamState&>(state);
    tensors.push_back(Borrow(StateName(kMomentum, parameter.name), sgd.momentum_buffer()));
  }
  return tensors;
}

std::vector<absl::Span<float>> MomentsOf(const torch::optim::Optimizer& optimizer,
                                         const at::Tensor& parameter) {
  const auto found = optimizer.state().find(KeyOf(parameter));
  if (found == optimizer.state().end()) return {};
  const auto spans = [](std::initializer_list<at::Tensor> tensors) {
    std::vector<absl::Span<float>> all;
    for (const at::Tensor& tensor : tensors) {
      all.emplace_back(tensor.data_ptr<float>(), static_cast<size_t>(tensor.numel()));
    }
    return all;
  };
  const torch::optim::OptimizerParamState& state = *found->second;
  if (const auto* adam = dynamic_cast<const torch::optim::AdamParamState*>(&state)) {
    return spans({adam->exp_avg(), adam->exp_avg_sq()});
  }
  if (const auto* adamw = dynamic_cast<const torch::optim::AdamWParamState*>(&state)) {
    return spans({adamw->exp_avg(), adamw->exp_avg_sq()});
  }
  return spans({static_cast<const torch::optim::SGDParamState&>(state).momentum_buffer()});
}

absl::Status CheckTensors(const SafeTensors& from, const std::vector<SafeTensor>& into) {
  for (const SafeTensor& target : into) {
    SLUICE_RETURN_IF_ERROR(FindLike(from, target.name, target.dtype, target.shape).status());
  }
  return absl::OkStatus();
}

absl::Status RestoreTensors(const SafeTensors& from, const std::vector<SafeTensor>& into) {
  SLUICE_RETURN_IF_ERROR(CheckTensors(from, into));
  for (const SafeTensor& target : into) {
    // The live memory, which BufferTensors and ParameterTensors lend as read-only.
    std::memcpy(const_cast<char*>(target.bytes.data()), from.Find(target.name)->bytes.data(),
                target.bytes.size());
  }
  return absl::OkStatus();
}

absl::Status RestoreOptimizerTensors(const SafeTensors& from,
                                     const std::vector<NamedParameter>& parameters,
                                     torch::optim::Optimizer& optimizer) {
  const Format format = FormatOf(optimizer);
  std::vector<std::pair<std::string, State>> states;  // by key
  for (const NamedParameter& parameter : parameters) {
    // Before its first step, without momentum, and while it is frozen a parameter has none.
    if (from.Find(StateName(format.first, parameter.name)) == nullptr) continue;
    SLUICE_ASSIGN_OR_RETURN(State state, format.read(from, parameter));
    states.emplace_back(KeyOf(parameter.tensor), std::move(state));
  }
  optimizer.state().clear();
  for (auto& [key, state] : states) optimizer.state()[key] = std::move(state);
  return absl::OkStatus();
}

}  // namespace sluice
