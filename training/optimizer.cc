#include "training/optimizer.h"

#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "models/torch_guard.h"
#include "training/fused_sgd.h"
#include "training/lamb.h"

namespace sluice {
namespace {

using Made = std::unique_ptr<torch::optim::Optimizer>;

// Parameters with weight decay, and those without.
struct Groups {
  std::vector<at::Tensor> decayed;
  std::vector<at::Tensor> exempt;
};

template <class Optimizer, class Options>
Made Make(const Options& options, const Groups& groups) {
  std::vector<torch::optim::OptimizerParamGroup> all = {
      torch::optim::OptimizerParamGroup(groups.decayed)};
  if (!groups.exempt.empty()) {
    auto without_decay = std::make_unique<Options>(options);
    without_decay->weight_decay(0);
    all.emplace_back(groups.exempt, std::move(without_decay));
  }
  return std::make_unique<Optimizer>(std::move(all), options);
}

// Adam, AdamW and Lamb are set alike.
template <class Options>
Options Adaptive(const proto::Optimizer& settings) {
  return Options(settings.learning_rate())
      .betas({settings.beta1(), settings.beta2()})
      .eps(settings.epsilon())
      .weight_decay(settings.weight_decay());
}

}  // namespace

absl::StatusOr<std::unique_ptr<torch::optim::Optimizer>> MakeOptimizer(
    const proto::Optimizer& settings, std::vector<at::Tensor> parameters) {
  if (settings.kind() != "sgd" && settings.kind() != "adam" && settings.kind() != "adamw" &&
      settings.kind() != "lamb") {
    return absl::InvalidArgumentError(absl::StrCat("optimizer.kind is \"", settings.kind(),
                                                   "\": expected sgd, adam, adamw or lamb"));
  }
  Groups groups;
  for (at::Tensor& parameter : parameters) {
    const bool is_exempt = settings.decay_exempt() == "one_dimensional" && parameter.dim() <= 1;
    (is_exempt ? groups.exempt : groups.decayed).push_back(std::move(parameter));
  }
  return TorchGuard(absl::StrCat("make optimizer ", settings.kind()), [&]() -> Made {
    using torch::optim::AdamOptions;
    using torch::optim::AdamWOptions;
    if (settings.kind() == "adam") {
      return Make<torch::optim::Adam>(Adaptive<AdamOptions>(settings), groups);
    }
    if (settings.kind() == "adamw") {
      return Make<torch::optim::AdamW>(Adaptive<AdamWOptions>(settings), groups);
    }
    if (settings.kind() == "lamb") return Make<Lamb>(Adaptive<AdamOptions>(settings), groups);
    return Make<FusedSgd>(torch::optim::SGDOptions(settings.learning_rate())
                              .momentum(settings.momentum())
                              .nesterov(settings.nesterov() == "on")
                              .weight_decay(settings.weight_decay()),
                          groups);
  });
}

void StepWithLearningRate(torch::optim::Optimizer& optimizer, double learning_rate) {
  for (auto& group : optimizer.param_groups()) group.options().set_lr(learning_rate);
  optimizer.step();
}

}  // namespace sluice
