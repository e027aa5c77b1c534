#include "training/evaluation.h"

#include <ATen/ops/arange.h>
#include <torch/types.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "models/torch_guard.h"
#include "training/loss.h"

namespace sluice {
namespace {

// Samples at once: as many as keep inputs and logits within 64 MiB each, fp32, and no more than 500.
size_t SamplesAtOnce(const DataShape& shape) {
  constexpr int64_t kMost = 500, kElements = 16 << 20;
  int64_t inputs = 1;
  for (int64_t size : shape.input) inputs *= size;
  const int64_t logits = shape.classes * (shape.target_per_position ? inputs : 1);
  return static_cast<size_t>(
      std::clamp<int64_t>(kElements / std::max<int64_t>({1, inputs, logits}), 1, kMost));
}

// How many predictions have their target among the five likeliest classes; of equally likely ones the lower
// numbers are first, so that the count does not depend on how a batch was cut.
int64_t CorrectInTop5(const at::Tensor& logits, const at::Tensor& targets) {
  const at::Tensor of_target = logits.gather(-1, targets.unsqueeze(-1));
  const at::Tensor classes = at::arange(logits.size(-1), targets.options());
  const at::Tensor before = logits.gt(of_target).logical_or(
      logits.eq(of_target).logical_and(classes.lt(targets.unsqueeze(-1))));
  const at::Tensor right =
      before.sum(-1).lt(5).logical_and(of_target.squeeze(-1).isnan().logical_not());
  return right.sum().item<int64_t>();
}

class EvaluationMode {
 public:
  explicit EvaluationMode(Network& network) : network_(network) { network_.eval(); }
  ~EvaluationMode() { network_.train(); }

 private:
  Network& network_;
  const torch::NoGradGuard no_gradients_;
};

}  // namespace

absl::StatusOr<proto::Evaluation> EvaluateShardOf(const Dataset& set, Rank rank, int world_size,
                                                  Network& network) {
  std::vector<int64_t> shard;
  for (int64_t i = rank.value; i < set.size(); i += world_size) shard.push_back(i);
  return TorchGuard(
      absl::StrCat("evaluate on ", ToString(rank)), [&]() -> absl::StatusOr<proto::Evaluation> {
        const EvaluationMode mode(network);
        proto::Evaluation sums;
        sums.set_classes(set.shape().classes);
        sums.set_per_position(set.shape().target_per_position);
        const size_t batch_size = SamplesAtOnce(set.shape());
        for (size_t at = 0; at < shard.size(); at += batch_size) {
          SLUICE_ASSIGN_OR_RETURN(
              const Batch batch,
              set.Make(absl::MakeConstSpan(shard).subspan(at, batch_size), std::nullopt));
          const torch::Tensor logits = network.forward(batch.inputs);
          sums.set_predictions(sums.predictions() + batch.targets.numel());
          sums.set_correct(sums.correct() +
                           (logits.argmax(-1) == batch.targets).sum().item<int64_t>());
          sums.set_correct_top5(sums.correct_top5() + CorrectInTop5(logits, batch.targets));
          sums.set_loss_sum(sums.loss_sum() + LossSumOverPredictions(logits, batch).item<double>());
        }
        return sums;
      });
}

}  // namespace sluice
