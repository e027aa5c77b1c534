#include "training/lamb.h"

#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <memory>
#include <tuple>

#include "absl/types/span.h"
#include "base/check.h"
#include "training/gradient_norm.h"

namespace sluice {
namespace {

double NormOf(const at::Tensor& tensor) {
  SLUICE_CHECK(tensor.is_contiguous(), "one run of memory each");
  return std::sqrt(SumOfSquares(
      absl::MakeConstSpan(tensor.data_ptr<float>(), static_cast<size_t>(tensor.numel()))));
}

}  // namespace

torch::optim::AdamParamState& Lamb::StateOf(const at::Tensor& parameter) {
  // Keyed as torch's own optimisers do.
  auto& state = state_[c10::guts::to_string(parameter.unsafeGetTensorImpl())];
  if (state == nullptr) {
    auto fresh = std::make_unique<torch::optim::AdamParamState>();
    fresh->step(0);
    fresh->exp_avg(at::zeros_like(parameter, at::MemoryFormat::Contiguous));
    fresh->exp_avg_sq(at::zeros_like(parameter, at::MemoryFormat::Contiguous));
    state = std::move(fresh);
  }
  return static_cast<torch::optim::AdamParamState&>(*state);
}

torch::Tensor Lamb::step(LossClosure closure) {
  SLUICE_CHECK(closure == nullptr, "the step loop computes the loss itself");
  const torch::NoGradGuard no_gradients;
  for (auto& group : param_groups()) {
    const auto& options = static_cast<const torch::optim::AdamOptions&>(group.options());
    const auto [beta1, beta2] = options.betas();
    for (const at::Tensor& parameter : group.params()) {
      const at::Tensor& gradient = parameter.grad();
      if (!gradient.defined()) continue;
      torch::optim::AdamParamState& state = StateOf(parameter);
      state.step(state.step() + 1);
      const auto t = static_cast<double>(state.step());
      state.exp_avg().mul_(beta1).add_(gradient, 1 - beta1);
      state.exp_avg_sq().mul_(beta2).addcmul_(gradient, gradient, 1 - beta2);
      at::Tensor update =
          (state.exp_avg_sq() / (1 - std::pow(beta2, t))).sqrt_().add_(options.eps());
      update = at::div(state.exp_avg(), update).div_(1 - std::pow(beta1, t));
      if (options.weight_decay() != 0) update.add_(parameter, options.weight_decay());
      const double weight_norm = NormOf(parameter), update_norm = NormOf(update);
      const double trust = weight_norm > 0 && update_norm > 0 ? weight_norm / update_norm : 1;
      parameter.add_(update, -options.lr() * trust);
    }
  }
  return {};
}

}  // namespace sluice
