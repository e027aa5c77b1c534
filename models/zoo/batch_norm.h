#pragma once

#include <torch/nn/modules/batchnorm.h>

#include <memory>
#include <utility>

#include "models/sum_over_ranks.h"
#include "models/zoo/network.h"

namespace sluice {

/// What torch's BatchNorm2d computes, with its parameters, buffers and default options (it cannot be derived from: LibTorch
/// does not export all of it); and that over the samples of all ranks, when Share says so.
///
/// Then each forward in training makes two sums over ranks (means, then squared distances from them: no cancellation)
/// and each backward one, of 2 floats per channel at the most; a rank counts by its samples. The gradient is that of
/// the sum of the ranks' losses. Running statistics are equal on all ranks, and those of one rank that has the whole batch.
/// In bf16 it computes in fp32. Source: Ioffe & Szegedy, 2015, "Batch normalization", over all ranks' samples.
class BatchNormImpl
    : public torch::nn::NormImplBase<2, BatchNormImpl, torch::nn::BatchNormOptions> {
 public:
  explicit BatchNormImpl(int64_t channels)
      : torch::nn::NormImplBase<2, BatchNormImpl, torch::nn::BatchNormOptions>(
            torch::nn::BatchNormOptions(channels)) {}

  /// \param input  n x channels x height x width
  /// Throws ThrownStatus when a sum over ranks fails, here and in backward, and as torch does.
  torch::Tensor forward(const torch::Tensor& input);

  /// \param sum  co-owned by graphs whose backward is still to come; null: a rank's own samples
  void Share(std::shared_ptr<const SumOverRanks> sum) { sum_ = std::move(sum); }

 private:
  void _check_input_dim(const torch::Tensor& input) override;

  std::shared_ptr<const SumOverRanks> sum_;
};
TORCH_MODULE(BatchNorm);

/// Lets all batch norms of `network` share their statistics by `sum`, or not any more if it is null.
void ShareBatchNorm(Network& network, const SumOverRanks& sum);

}  // namespace sluice
