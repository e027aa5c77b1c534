#include "training/loss.h"

#include <torch/enum.h>
#include <torch/nn/functional/loss.h>

namespace sluice {
namespace {

at::Tensor Sum(const at::Tensor& logits, const Batch& batch, double label_smoothing) {
  return torch::nn::functional::cross_entropy(logits.flatten(0, -2).to(at::kFloat),
                                              batch.targets.flatten(),
                                              torch::nn::functional::CrossEntropyFuncOptions()
                                                  .reduction(torch::kSum)
                                                  .label_smoothing(label_smoothing));
}

}  // namespace

at::Tensor LossSumOverSamples(const at::Tensor& logits, const Batch& batch,
                              double label_smoothing) {
  if (batch.weights.defined()) {
    const auto losses = [&](const at::Tensor& targets) {
      return torch::nn::functional::cross_entropy(logits.to(at::kFloat), targets,
                                                  torch::nn::functional::CrossEntropyFuncOptions()
                                                      .reduction(torch::kNone)
                                                      .label_smoothing(label_smoothing));
    };
    return (batch.weights * losses(batch.targets) +
            (1 - batch.weights) * losses(batch.mixed_targets))
        .sum();
  }
  const int64_t positions = batch.targets.numel() / batch.size();
  const at::Tensor sum = Sum(logits, batch, label_smoothing);
  return positions == 1 ? sum : sum / static_cast<double>(positions);
}

at::Tensor LossSumOverPredictions(const at::Tensor& logits, const Batch& batch) {
  return Sum(logits, batch, /*label_smoothing=*/0);
}

}  // namespace sluice
