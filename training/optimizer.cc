#include "training/optimizer.h"

#include <torch/optim/adam.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "models/torch_guard.h"
#include "training/fused_sgd.h"

namespace sluice {

absl::StatusOr<std::unique_ptr<torch::optim::Optimizer>> MakeOptimizer(
    const proto::Optimizer& settings, std::vector<at::Tensor> parameters) {
  using Result = std::unique_ptr<torch::optim::Optimizer>;
  if (settings.kind() != "sgd" && settings.kind() != "adam") {
    return absl::InvalidArgumentError(
        absl::StrCat("optimizer.kind is \"", settings.kind(), "\": expected sgd or adam"));
  }
  return TorchGuard(absl::StrCat("make optimizer ", settings.kind()), [&]() -> Result {
    if (settings.kind() == "sgd") {
      return std::make_unique<FusedSgd>(std::move(parameters),
                                        torch::optim::SGDOptions(settings.learning_rate())
                                            .momentum(settings.momentum())
                                            .weight_decay(settings.weight_decay()));
    }
    return std::make_unique<torch::optim::Adam>(std::move(parameters),
                                                torch::optim::AdamOptions(settings.learning_rate())
                                                    .betas({settings.beta1(), settings.beta2()})
                                                    .eps(settings.epsilon())
                                                    .weight_decay(settings.weight_decay()));
  });
}

void StepWithLearningRate(torch::optim::Optimizer& optimizer, double learning_rate) {
  for (auto& group : optimizer.param_groups()) group.options().set_lr(learning_rate);
  optimizer.step();
}

}  // namespace sluice
