#pragma once

#include <torch/optim/adam.h>

#include <memory>
#include <utility>
#include <vector>

namespace sluice {

/// LAMB: Adam whose step is, for each tensor, as long as the tensor is, so that large batches can take
/// large learning rates. With gradient g, weights w, step count t, n = learning rate, l = weight decay:
///
///     m = beta1 m + (1 - beta1) g            v = beta2 v + (1 - beta2) g^2
///     r = m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon) + l w
///     w = w - n |w| / |r| r                  the factor |w| / |r| is 1 where either norm is 0
///
/// Norms are of gradient_norm.h, so equal on all ranks. Its state is Adam's (torch::optim::AdamParamState).
/// Source: You et al., 2020, "Large batch optimization for deep learning: training BERT in 76 minutes",
/// algorithm 2 with phi(z) = z.
class Lamb : public torch::optim::Optimizer {
 public:
  /// Parameters and gradients are fp32 and contiguous.
  Lamb(std::vector<torch::optim::OptimizerParamGroup> groups, torch::optim::AdamOptions options)
      : Optimizer(std::move(groups), std::make_unique<torch::optim::AdamOptions>(options)) {}

  /// Steps every parameter that has a gradient. \param closure  must be absent
  torch::Tensor step(LossClosure closure = nullptr) override;

 private:
  /// The parameter's moments, zero before its first step.
  torch::optim::AdamParamState& StateOf(const at::Tensor& parameter);
};

}  // namespace sluice
