#pragma once

#include <torch/optim/optimizer.h>

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/job.pb.h"

namespace sluice {

/// SGD (FusedSgd) or torch's Adam with the job's settings. \error kInvalidArgument for another kind
absl::StatusOr<std::unique_ptr<torch::optim::Optimizer>> MakeOptimizer(
    const proto::Optimizer& settings, std::vector<at::Tensor> parameters);

/// Steps all parameters on their gradients with this learning rate. Throws as torch does.
void StepWithLearningRate(torch::optim::Optimizer& optimizer, double learning_rate);

}  // namespace sluice
