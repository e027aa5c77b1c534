#include "training/robust/robustness_shard.h"

#include <torch/types.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "base/status_macros.h"
#include "models/torch_guard.h"
#include "training/robust/attack.h"

namespace sluice {
namespace {

constexpr size_t kSamplesAtOnce = 100;

int64_t Count(const at::Tensor& chosen) { return chosen.sum().item<int64_t>(); }

}  // namespace

absl::StatusOr<RobustnessCounts> AttackShardOf(const Dataset& set, uint64_t seed,
                                               const RobustnessQuestion& question, Rank rank,
                                               int world_size, Network& network) {
  SLUICE_ASSIGN_OR_RETURN(const PixelSpace space, PixelSpace::Of(set));
  const int64_t samples =
      question.samples > 0 ? std::min(question.samples, set.size()) : set.size();
  std::vector<int64_t> shard;
  for (int64_t i = rank.value; i < samples; i += world_size) shard.push_back(i);
  const double eps = question.eps;
  const AttackPlan fgsm{eps, eps, 1, 1, AttackStart::kNone, AttackLoss::kCrossEntropy};
  const AttackPlan pgd20{eps, eps / 4, 20, 1, AttackStart::kUniform, AttackLoss::kCrossEntropy};
  const AttackPlan pgd50{
      eps, eps / 4, 50, question.restarts, AttackStart::kUniform, AttackLoss::kCrossEntropy};
  const RandomKey key = RandomKey(seed).With("attack evaluation");
  return TorchGuard(
      absl::StrCat("attack on ", ToString(rank)), [&]() -> absl::StatusOr<RobustnessCounts> {
        RobustnessCounts counts;
        for (size_t at = 0; at < shard.size(); at += kSamplesAtOnce) {
          const auto indices = absl::MakeConstSpan(shard).subspan(at, kSamplesAtOnce);
          SLUICE_ASSIGN_OR_RETURN(const Batch batch, set.Make(indices, std::nullopt));
          const auto right = [&](const AttackPlan& plan) {
            return Attack(network, batch.inputs.front(), batch.targets, plan, space,
                          [&](int64_t i) {
                            return key.With(static_cast<uint64_t>(indices[static_cast<size_t>(i)]));
                          })
                .fooled.logical_not();
          };
          const at::Tensor clean = right({});
          const at::Tensor after_fgsm = right(fgsm), after_20 = right(pgd20),
                           after_50 = right(pgd50);
          counts.samples += batch.size();
          counts.clean += Count(clean);
          counts.fgsm += Count(after_fgsm);
          counts.pgd20 += Count(after_20);
          counts.pgd50 += Count(after_50);
          counts.worst_case +=
              Count(clean.logical_and(after_fgsm).logical_and(after_20).logical_and(after_50));
        }
        return counts;
      });
}

}  // namespace sluice
