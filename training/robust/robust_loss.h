#pragma once

#include <ATen/core/Tensor.h>

namespace sluice {

/// Losses by sample (n) of logits (n x classes), in fp32 or wider whatever the logits are in. Targets are int64: n.
/// Each throws as torch does.

at::Tensor CrossEntropy(const at::Tensor& logits, const at::Tensor& targets);

/// KL(softmax of `logits` || softmax of `other`): 0 where they agree.
at::Tensor Divergence(const at::Tensor& logits, const at::Tensor& other);

/// -(z_y - max of the others) / (z_1st - z_3rd + 1e-12). \pre 3 classes or more
/// Source: Croce & Hein, 2020, "Reliable evaluation of adversarial robustness", section 4.
at::Tensor LogitsRatio(const at::Tensor& logits, const at::Tensor& targets);

/// Cross entropy of the clean ones plus beta times the divergence of the attacked from them.
/// Source: Zhang et al., 2019, "Theoretically principled trade-off between robustness and accuracy".
at::Tensor Trades(const at::Tensor& clean, const at::Tensor& attacked, const at::Tensor& targets,
                  double beta);

/// Boosted cross entropy of the attacked ones plus lambda times that divergence, where the clean answer is unsure.
/// Source: Wang et al., 2020, "Improving adversarial robustness requires revisiting misclassified examples".
at::Tensor Mart(const at::Tensor& clean, const at::Tensor& attacked, const at::Tensor& targets,
                double lambda);

}  // namespace sluice
