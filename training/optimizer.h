#pragma once

#include <torch/optim/optimizer.h>

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/job.pb.h"

namespace sluice {

/// SGD (FusedSgd), torch's Adam or AdamW, or Lamb, with these settings. The parameters that
/// settings.decay_exempt names are a group of their own without weight decay.
/// \error kInvalidArgument  another kind
/// \error kInternal         wrapping what LibTorch threw at the settings
absl::StatusOr<std::unique_ptr<torch::optim::Optimizer>> MakeOptimizer(
    const proto::Optimizer& settings, std::vector<at::Tensor> parameters);

/// Steps all parameters on their gradients with this learning rate. Throws as torch does.
void StepWithLearningRate(torch::optim::Optimizer& optimizer, double learning_rate);

}  // namespace sluice
