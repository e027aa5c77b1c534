#include "training/robust/attack.h"

#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "training/robust/robust_loss.h"

namespace sluice {
namespace {

constexpr double kGaussDeviation = 0.001;  // of pixel values

class AttackMode {
 public:
  explicit AttackMode(Network& network) : network_(network), training_(network.is_training()) {
    network_.eval();
  }
  ~AttackMode() {
    network_.train(training_);
    // Weights that autocast keeps cast have no history here: those who train must not find them.
    at::autocast::clear_cache();
  }

 private:
  Network& network_;
  const bool training_;
};

double Uniform(RandomKey key, uint64_t counter) {
  return (static_cast<double>(key.Bits(counter) >> 11) + 0.5) * std::ldexp(1.0, -53);
}

// In pixel values, of the inputs' shape.
at::Tensor StartNoise(const at::Tensor& inputs, const AttackPlan& plan, int restart,
                      absl::FunctionRef<RandomKey(int64_t)> key_of) {
  at::Tensor noise = at::zeros(inputs.sizes(), at::kFloat);
  if (plan.start == AttackStart::kNone) return noise;
  const int64_t n = inputs.size(0), elements = inputs.numel() / std::max<int64_t>(n, 1);
  float* out = noise.data_ptr<float>();
  for (int64_t i = 0; i < n; ++i) {
    const RandomKey key = key_of(i).With(static_cast<uint64_t>(restart));
    for (int64_t e = 0; e < elements; ++e) {
      const auto c = static_cast<uint64_t>(e);
      *out++ =
          static_cast<float>(plan.start == AttackStart::kUniform
                                 ? plan.eps * (2 * Uniform(key, c) - 1)
                                 : kGaussDeviation * std::sqrt(-2 * std::log(Uniform(key, 2 * c))) *
                                       std::cos(2 * M_PI * Uniform(key, 2 * c + 1)));
    }
  }
  return noise;
}

at::Tensor LossBySample(AttackLoss loss, const at::Tensor& logits, const at::Tensor& targets,
                        const at::Tensor& clean_logits) {
  if (loss == AttackLoss::kDivergence) return Divergence(clean_logits, logits);
  if (loss == AttackLoss::kLogitsRatio) return LogitsRatio(logits, targets);
  return CrossEntropy(logits, targets);
}

at::Tensor BySample(const at::Tensor& chosen, const at::Tensor& like) {
  std::vector<int64_t> shape(static_cast<size_t>(like.dim()), 1);
  shape[0] = like.size(0);
  return chosen.view(shape);
}

}  // namespace

absl::StatusOr<PixelSpace> PixelSpace::Of(const Dataset& data) {
  const ImageFormat* const format = data.image_format();
  if (format == nullptr) {
    return absl::InvalidArgumentError(
        "attacks need data whose samples are one image each; use loss clean for others");
  }
  const auto by_channel = [&](float pixel, bool centred) {
    std::vector<float> values;
    for (size_t c = 0; c < format->mean.size(); ++c) {
      values.push_back((pixel - (centred ? format->mean[c] : 0)) / format->deviation[c]);
    }
    return at::tensor(values).view({1, static_cast<int64_t>(values.size()), 1, 1});
  };
  return PixelSpace{by_channel(0, true), by_channel(1, true), by_channel(1, false)};
}

PixelSpace PixelSpace::Plain() {
  return {at::tensor({0.0f}), at::tensor({1.0f}), at::tensor({1.0f})};
}

AttackPlan PlanOf(const proto::Tscnc& settings) {
  const proto::Attack& attack = settings.attack();
  AttackPlan plan;
  plan.eps = attack.eps();
  plan.alpha = attack.alpha();
  plan.steps = attack.steps();
  if (attack.start() == "gauss") plan.start = AttackStart::kGauss;
  if (attack.start() == "uniform") plan.start = AttackStart::kUniform;
  if (settings.loss() == "trades") plan.loss = AttackLoss::kDivergence;
  return plan;
}

Attacked Attack(Network& network, const at::Tensor& inputs, const at::Tensor& targets,
                const AttackPlan& plan, const PixelSpace& space,
                absl::FunctionRef<RandomKey(int64_t)> key_of) {
  const AttackMode mode(network);
  const torch::NoGradGuard no_gradients;
  const at::Tensor clean = inputs.detach();
  const at::Tensor clean_logits = network.forward({clean});
  Attacked best{clean, clean_logits.argmax(-1).ne(targets), 0};
  if (plan.eps == 0) return best;
  const at::Tensor radius = space.unit * plan.eps, step = space.unit * plan.alpha;
  const at::Tensor least = at::maximum(clean - radius, space.lower);
  const at::Tensor most = at::minimum(clean + radius, space.upper);
  at::Tensor not_finite = at::zeros_like(targets, at::kBool);
  at::Tensor highest;
  for (int restart = 0; restart < plan.restarts; ++restart) {
    at::Tensor x = clean + space.unit * StartNoise(clean, plan, restart, key_of);
    x = at::minimum(at::maximum(x, least), most);
    for (int k = 0; k < plan.steps; ++k) {
      at::Tensor gradient;
      {
        const torch::AutoGradMode with_gradients(true);
        x = x.detach().requires_grad_(true);
        const at::Tensor loss =
            LossBySample(plan.loss, network.forward({x}), targets, clean_logits).sum();
        gradient = torch::autograd::grad({loss}, {x})[0];
      }
      const at::Tensor finite = gradient.isfinite().flatten(1).all(1);
      not_finite = not_finite.logical_or(finite.logical_not());
      const at::Tensor move =
          at::where(BySample(finite, x), gradient.sign(), at::zeros_like(gradient));
      x = at::minimum(at::maximum(x.detach() + step * move, least), most);
    }
    const at::Tensor logits = network.forward({x});
    const at::Tensor loss = LossBySample(plan.loss, logits, targets, clean_logits);
    const at::Tensor fooled = logits.argmax(-1).ne(targets);
    if (restart == 0) {
      best.inputs = x;
      best.fooled = fooled;
      highest = loss;
      continue;
    }
    const at::Tensor better =
        best.fooled.logical_not().logical_and(fooled.logical_or(loss.gt(highest)));
    best.inputs = at::where(BySample(better, x), x, best.inputs);
    highest = at::where(better, loss, highest);
    best.fooled = best.fooled.logical_or(fooled);
  }
  best.not_finite = not_finite.sum().item<int64_t>();
  return best;
}

}  // namespace sluice
