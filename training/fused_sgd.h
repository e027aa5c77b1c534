#pragma once

#include <torch/optim/sgd.h>

#include <vector>

namespace sluice {

/// torch's SGD, state and archive included, whose step passes over memory once (SgdStep).
/// Parameters and gradients are fp32 and contiguous; no dampening.
class FusedSgd : public torch::optim::SGD {
 public:
  FusedSgd(std::vector<torch::optim::OptimizerParamGroup> groups, torch::optim::SGDOptions options)
      : SGD(std::move(groups), options) {}

  /// Steps every parameter that has a gradient. \param closure  must be absent
  torch::Tensor step(LossClosure closure = nullptr) override;

 private:
  /// The parameter's buffer, zero before its first step.
  float* MomentumBuffer(const at::Tensor& parameter);
};

}  // namespace sluice
