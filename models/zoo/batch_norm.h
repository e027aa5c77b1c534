#pragma once

#include <torch/nn/modules/batchnorm.h>

#include <memory>
#include <ostream>
#include <utility>

#include "models/sum_over_ranks.h"
#include "models/zoo/network.h"

namespace sluice {

/// torch's BatchNorm2d, which can take its statistics from the samples of all ranks.
///
/// Then each forward in training makes two sums over ranks (means, then squared distances from them: no cancellation)
/// and each backward one, of 2 floats per channel at the most; a rank counts by its samples. The gradient is that of
/// the sum of the ranks' losses. Running statistics are equal on all ranks, and those of one rank that has the whole batch.
/// In bf16 it computes in fp32. Source: Ioffe & Szegedy, 2015, "Batch normalization", over all ranks' samples.
class BatchNormImpl : public torch::nn::BatchNorm2dImpl {
 public:
  explicit BatchNormImpl(int64_t channels) : torch::nn::BatchNorm2dImpl(channels) {}

  /// \param input  n x channels x height x width
  /// Throws ThrownStatus when a sum over ranks fails, here and in backward, and as torch does.
  torch::Tensor forward(const torch::Tensor& input);

  /// LibTorch does not export its own.
  void pretty_print(std::ostream& stream) const override;

  /// \param sum  co-owned by graphs whose backward is still to come; null: a rank's own samples
  void Share(std::shared_ptr<const SumOverRanks> sum) { sum_ = std::move(sum); }

 private:
  std::shared_ptr<const SumOverRanks> sum_;
};
TORCH_MODULE(BatchNorm);

/// Lets all batch norms of `network` share their statistics by `sum`, or not any more if it is null.
void ShareBatchNorm(Network& network, const SumOverRanks& sum);

}  // namespace sluice
