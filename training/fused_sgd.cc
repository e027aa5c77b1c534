#include "training/fused_sgd.h"

#include <ATen/ops/zeros_like.h>

#include "base/check.h"
#include "training/sgd_kernel.h"

namespace sluice {

float* FusedSgd::MomentumBuffer(const at::Tensor& parameter) {
  // Keyed as torch's own step does, so that its archives hold it.
  auto& state = state_[c10::guts::to_string(parameter.unsafeGetTensorImpl())];
  if (state == nullptr) state = std::make_unique<torch::optim::SGDParamState>();
  auto& own = static_cast<torch::optim::SGDParamState&>(*state);
  if (!own.momentum_buffer().defined()) {
    own.momentum_buffer(at::zeros_like(parameter, at::MemoryFormat::Contiguous));
  }
  return own.momentum_buffer().data_ptr<float>();
}

torch::Tensor FusedSgd::step(LossClosure closure) {
  SLUICE_CHECK(closure == nullptr, "the step loop computes the loss itself");
  const torch::NoGradGuard no_gradients;
  for (auto& group : param_groups()) {
    const auto& options = static_cast<const torch::optim::SGDOptions&>(group.options());
    SLUICE_CHECK(options.dampening() == 0, "no dampening");
    for (const at::Tensor& parameter : group.params()) {
      const at::Tensor& gradient = parameter.grad();
      if (!gradient.defined()) continue;
      SLUICE_CHECK(parameter.is_contiguous() && gradient.is_contiguous(), "one run of memory each");
      SgdStep(parameter.data_ptr<float>(), gradient.data_ptr<float>(),
              options.momentum() != 0 ? MomentumBuffer(parameter) : nullptr,
              static_cast<size_t>(parameter.numel()), static_cast<float>(options.lr()),
              static_cast<float>(options.momentum()), static_cast<float>(options.weight_decay()),
              options.nesterov());
    }
  }
  return {};
}

}  // namespace sluice
