#include "training/gradient_hooks.h"

#include <ATen/ops/from_blob.h>
#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>

namespace sluice {

GradientHooks::GradientHooks(const std::vector<at::Tensor>& parameters, GradientSink& sink)
    : parameters_(parameters) {
  for (size_t i = 0; i < parameters.size(); ++i) {
    const int index = static_cast<int>(i);
    const at::Tensor& parameter = parameters[i];
    const at::Tensor storage =
        at::from_blob(sink.gradient(index).data(), parameter.sizes(), parameter.options());
    parameter.mutable_grad() = storage;
    storages_.push_back(storage);
    auto accumulator = torch::autograd::impl::grad_accumulator(parameter);
    accumulator->add_post_hook(std::make_unique<torch::autograd::utils::LambdaPostHook>(
        [&sink, index, storage, parameter](const torch::autograd::variable_list& outputs,
                                           const torch::autograd::variable_list&) {
          storage.copy_(parameter.grad());
          parameter.mutable_grad() = storage;
          sink.Ready(index);
          return outputs;
        }));
    accumulators_.push_back(std::move(accumulator));
  }
}

void GradientHooks::View() {
  for (size_t i = 0; i < parameters_.size(); ++i) parameters_[i].mutable_grad() = storages_[i];
}

void GradientHooks::Release() {
  for (const at::Tensor& parameter : parameters_) parameter.mutable_grad() = at::Tensor();
}

}  // namespace sluice
