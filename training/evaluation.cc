#include "training/evaluation.h"

#include <torch/types.h>

#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "models/torch_guard.h"
#include "training/loss.h"

namespace sluice {
namespace {

constexpr size_t kBatch = 500;  // samples at once

class EvaluationMode {
 public:
  explicit EvaluationMode(Network& network) : network_(network) { network_.eval(); }
  ~EvaluationMode() { network_.train(); }

 private:
  Network& network_;
  const torch::NoGradGuard no_gradients_;
};

}  // namespace

absl::StatusOr<EvaluationSums> EvaluateShardOf(const Dataset& set, Rank rank, int world_size,
                                               Network& network) {
  std::vector<int64_t> shard;
  for (int64_t i = rank.value; i < set.size(); i += world_size) shard.push_back(i);
  return TorchGuard(absl::StrCat("evaluate on ", ToString(rank)),
                    [&]() -> absl::StatusOr<EvaluationSums> {
                      const EvaluationMode mode(network);
                      EvaluationSums sums;
                      for (size_t at = 0; at < shard.size(); at += kBatch) {
                        SLUICE_ASSIGN_OR_RETURN(
                            const Batch batch,
                            set.Make(absl::MakeConstSpan(shard).subspan(at, kBatch), std::nullopt));
                        const torch::Tensor logits = network.forward(batch.inputs);
                        sums.predictions += batch.targets.numel();
                        sums.correct += (logits.argmax(-1) == batch.targets).sum().item<int64_t>();
                        sums.loss_sum += LossSumOverPredictions(logits, batch).item<double>();
                      }
                      return sums;
                    });
}

}  // namespace sluice
