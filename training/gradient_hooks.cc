#include "training/gradient_hooks.h"

#include <ATen/ops/from_blob.h>
#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>

namespace sluice {

GradientHooks::GradientHooks(const std::vector<at::Tensor>& parameters, GradientSink& sink)
    : parameters_(parameters), sink_(sink), handed_over_(parameters.size(), false) {
  for (size_t i = 0; i < parameters.size(); ++i) {
    const int index = static_cast<int>(i);
    const at::Tensor& parameter = parameters[i];
    storage_.push_back(
        at::from_blob(sink.gradient(index).data(), parameter.sizes(), parameter.options()));
    parameter.mutable_grad() = storage_.back();
    auto accumulator = torch::autograd::impl::grad_accumulator(parameter);
    accumulator->add_post_hook(std::make_unique<torch::autograd::utils::LambdaPostHook>(
        [this, index, alive = std::weak_ptr<bool>(alive_)](
            const torch::autograd::variable_list& outputs, const torch::autograd::variable_list&) {
          if (!alive.expired() && !held_)
            HandOver(index, parameters_[static_cast<size_t>(index)].grad());
          return outputs;
        }));
    accumulators_.push_back(std::move(accumulator));
  }
}

void GradientHooks::View() {
  for (size_t i = 0; i < parameters_.size(); ++i) parameters_[i].mutable_grad() = storage_[i];
}

void GradientHooks::Release() {
  std::fill(handed_over_.begin(), handed_over_.end(), false);
  for (const at::Tensor& parameter : parameters_) parameter.mutable_grad() = at::Tensor();
}

void GradientHooks::HandOver(int index, const at::Tensor& value) {
  const auto i = static_cast<size_t>(index);
  storage_[i].copy_(value);
  parameters_[i].mutable_grad() = storage_[i];
  handed_over_[i] = true;
  sink_.Ready(index);
}

void GradientHooks::Complete() {
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (handed_over_[i]) continue;
    if (const at::Tensor held = parameters_[i].grad(); held.defined()) {
      HandOver(static_cast<int>(i), held);
      continue;
    }
    storage_[i].zero_();
    if (parameters_[i].requires_grad()) parameters_[i].mutable_grad() = storage_[i];
    handed_over_[i] = true;
    sink_.Ready(static_cast<int>(i));
  }
}

}  // namespace sluice
