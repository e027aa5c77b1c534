#include "training/robust/robust_loss.h"

#include <torch/types.h>

#include <limits>

namespace sluice {
namespace {

// MART's reference code keeps a log finite with it.
constexpr double kMartFloor = 1.0001;

at::Tensor LogSoftmax(const at::Tensor& logits) {
  const bool wide = logits.scalar_type() == at::kDouble;
  return at::log_softmax(wide ? logits : logits.to(at::kFloat), -1);
}

at::Tensor OfTarget(const at::Tensor& values, const at::Tensor& targets) {
  return values.gather(-1, targets.unsqueeze(-1)).squeeze(-1);
}

// The largest of the classes that are not the target.
at::Tensor LargestOther(const at::Tensor& values, const at::Tensor& targets) {
  return values.scatter(-1, targets.unsqueeze(-1), -std::numeric_limits<double>::infinity())
      .amax(-1);
}

}  // namespace

at::Tensor CrossEntropy(const at::Tensor& logits, const at::Tensor& targets) {
  return -OfTarget(LogSoftmax(logits), targets);
}

at::Tensor Divergence(const at::Tensor& logits, const at::Tensor& other) {
  const at::Tensor log_p = LogSoftmax(logits);
  return (log_p.exp() * (log_p - LogSoftmax(other))).sum(-1);
}

at::Tensor LogitsRatio(const at::Tensor& logits, const at::Tensor& targets) {
  const at::Tensor wide = logits.scalar_type() == at::kDouble ? logits : logits.to(at::kFloat);
  const at::Tensor first = std::get<0>(wide.topk(3, -1));
  return -(OfTarget(wide, targets) - LargestOther(wide, targets)) /
         (first.select(-1, 0) - first.select(-1, 2) + 1e-12);
}

at::Tensor Trades(const at::Tensor& clean, const at::Tensor& attacked, const at::Tensor& targets,
                  double beta) {
  return CrossEntropy(clean, targets) + beta * Divergence(clean, attacked);
}

at::Tensor Mart(const at::Tensor& clean, const at::Tensor& attacked, const at::Tensor& targets,
                double lambda) {
  const at::Tensor q = LogSoftmax(attacked).exp();
  const at::Tensor p_target = OfTarget(LogSoftmax(clean), targets).exp();
  return CrossEntropy(attacked, targets) - (kMartFloor - LargestOther(q, targets)).log() +
         lambda * Divergence(clean, attacked) * (1 - p_target);
}

}  // namespace sluice
