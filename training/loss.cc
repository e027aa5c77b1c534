#include "training/loss.h"

#include <torch/enum.h>
#include <torch/nn/functional/loss.h>

namespace sluice {

at::Tensor LossSumOverPredictions(const at::Tensor& logits, const Batch& batch) {
  return torch::nn::functional::cross_entropy(
      logits.flatten(0, -2), batch.targets.flatten(),
      torch::nn::functional::CrossEntropyFuncOptions().reduction(torch::kSum));
}

at::Tensor LossSumOverSamples(const at::Tensor& logits, const Batch& batch) {
  if (batch.weights.defined()) {
    const auto losses = [&](const at::Tensor& targets) {
      return torch::nn::functional::cross_entropy(
          logits, targets,
          torch::nn::functional::CrossEntropyFuncOptions().reduction(torch::kNone));
    };
    return (batch.weights * losses(batch.targets) +
            (1 - batch.weights) * losses(batch.mixed_targets))
        .sum();
  }
  const int64_t positions = batch.targets.numel() / batch.size();
  const at::Tensor sum = LossSumOverPredictions(logits, batch);
  return positions == 1 ? sum : sum / static_cast<double>(positions);
}

}  // namespace sluice
