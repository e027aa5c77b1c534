#include "models/zoo/batch_norm.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>
#include <torch/nn/functional/batchnorm.h>
#include <torch/types.h>

#include <cmath>
#include <utility>

#include "models/torch_guard.h"

namespace sluice {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// What a graph keeps of SumOverRanks.
struct SharedSum : torch::CustomClassHolder {
  explicit SharedSum(std::shared_ptr<const SumOverRanks> sum) : sum(std::move(sum)) {}
  std::shared_ptr<const SumOverRanks> sum;
};

void Sum(const SumOverRanks& sum, const at::Tensor& values) {
  const absl::Status status = sum({values.data_ptr<float>(), static_cast<size_t>(values.numel())});
  if (!status.ok()) throw ThrownStatus(status);
}

struct Statistics {
  at::Tensor mean, variance;  // fp32, by channel
  double count = 0;           // values per channel, over all ranks
};

Statistics OverAllRanks(const at::Tensor& x, const SumOverRanks& sum) {
  const int64_t channels = x.size(1);
  const double count = static_cast<double>(x.numel() / channels);
  const auto [mean, variance] = at::batch_norm_update_stats(x, {}, {}, 0);
  const at::Tensor sums = at::cat({mean * count, at::full({1}, count, mean.options())});
  Sum(sum, sums);
  Statistics all;
  all.count = sums[channels].item<double>();
  if (all.count <= 1) {
    throw ThrownStatus(absl::InvalidArgumentError(
        "batch norm has one value per channel on all ranks together: no statistics. Raise "
        "training.global_batch"));
  }
  all.mean = sums.narrow(0, 0, channels) / all.count;
  all.variance = (variance + (mean - all.mean).square()) * count;
  Sum(sum, all.variance);
  all.variance /= all.count;
  return all;
}

class Normalise : public torch::autograd::Function<Normalise> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, const Statistics& statistics, double epsilon,
                            const std::shared_ptr<const SumOverRanks>& sum) {
    context->save_for_backward({x, weight, statistics.mean, statistics.variance});
    context->saved_data["count"] = statistics.count;
    context->saved_data["epsilon"] = epsilon;
    context->saved_data["sum"] = c10::IValue::make_capsule(c10::make_intrusive<SharedSum>(sum));
    return std::get<0>(at::native_batch_norm(x, weight, bias, statistics.mean, statistics.variance,
                                             /*training=*/false, /*momentum=*/0, epsilon));
  }

  // With y = w n + b, n = (x - mean) / s, all over the values of all ranks:
  // dx = w / s (dy - mean of dy - n mean of (dy n)).
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &mean = saved[2], &variance = saved[3];
    const double count = context->saved_data["count"].toDouble();
    const double epsilon = context->saved_data["epsilon"].toDouble();
    const auto sum =
        c10::static_intrusive_pointer_cast<SharedSum>(context->saved_data["sum"].toCapsule());

    // As if the statistics were constants: w / s dy, and this rank's sums of dy n and of dy.
    auto [dx, dweight, dbias] =
        at::native_batch_norm_backward(gradients[0].contiguous(), x, weight, mean, variance, {}, {},
                                       /*train=*/false, epsilon, {true, true, true});
    const at::Tensor means = at::stack({dweight, dbias});
    Sum(*sum->sum, means);
    means.div_(count);

    const at::Tensor inverse = (variance + epsilon).rsqrt();
    const at::Tensor of_x = weight * inverse.square() * means[0];
    const at::Tensor constant = weight * inverse * means[1] - mean * of_x;
    const auto by_channel = [](const at::Tensor& values) { return values.view({1, -1, 1, 1}); };
    dx.addcmul_(x, by_channel(of_x), -1).sub_(by_channel(constant));
    return {dx, dweight, dbias, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

torch::Tensor BatchNormImpl::forward(const torch::Tensor& input) {
  _check_input_dim(input);
  const double share = *options.momentum();
  if (is_training()) num_batches_tracked += 1;
  if (!is_training() || sum_ == nullptr) {
    return torch::nn::functional::detail::batch_norm(input, running_mean, running_var, weight, bias,
                                                     is_training(), share, options.eps());
  }
  const at::Tensor x = input.to(at::kFloat).contiguous();
  Statistics statistics;
  {
    const torch::NoGradGuard no_gradients;
    statistics = OverAllRanks(x, *sum_);
    running_mean.lerp_(statistics.mean, share);
    running_var.lerp_(statistics.variance * (statistics.count / (statistics.count - 1)), share);
  }
  return Normalise::apply(x, weight, bias, statistics, options.eps(), sum_).to(input.scalar_type());
}

void BatchNormImpl::_check_input_dim(const torch::Tensor& input) {
  TORCH_CHECK(input.dim() == 4, "expected images of 4 dimensions, got ", input.dim());
}

void ShareBatchNorm(Network& network, const SumOverRanks& sum) {
  const auto shared = sum == nullptr ? nullptr : std::make_shared<const SumOverRanks>(sum);
  for (const std::shared_ptr<torch::nn::Module>& module : network.modules()) {
    if (auto* const norm = module->as<BatchNorm>()) norm->Share(shared);
  }
}

}  // namespace sluice
