#include "training/evaluation.h"

#include <torch/enum.h>
#include <torch/nn/functional/loss.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "models/data/image_batch.h"
#include "models/torch_guard.h"

namespace sluice {
namespace {

constexpr size_t kBatch = 500;

class EvaluationMode {
 public:
  explicit EvaluationMode(Network& network) : network_(network) { network_.eval(); }
  ~EvaluationMode() { network_.train(); }

 private:
  Network& network_;
  const torch::NoGradGuard no_gradients_;
};

}  // namespace

absl::StatusOr<EvaluationSums> EvaluateShardOf(const ImageSet& set, Rank rank, int world_size,
                                               Network& network) {
  std::vector<int64_t> shard;
  for (int64_t i = rank.value; i < set.count; i += world_size) shard.push_back(i);
  return TorchGuard(absl::StrCat("evaluate on ", ToString(rank)), [&] {
    const EvaluationMode mode(network);
    EvaluationSums sums;
    for (size_t at = 0; at < shard.size(); at += kBatch) {
      const ImageBatch batch = MakeImageBatch(set, absl::MakeConstSpan(shard).subspan(at, kBatch));
      const torch::Tensor logits = network.forward(batch.images);
      const torch::Tensor loss = torch::nn::functional::cross_entropy(
          logits, batch.labels,
          torch::nn::functional::CrossEntropyFuncOptions().reduction(torch::kSum));
      sums.samples += batch.labels.size(0);
      sums.correct += (logits.argmax(1) == batch.labels).sum().item<int64_t>();
      sums.loss_sum += loss.item<double>();
    }
    return sums;
  });
}

}  // namespace sluice
