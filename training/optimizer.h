#pragma once

#include <torch/optim/optimizer.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/job.pb.h"

namespace sluice {

/// SGD (FusedSgd) or torch's Adam with the job's settings. \error kInvalidArgument for another kind
absl::StatusOr<std::unique_ptr<torch::optim::Optimizer>> MakeOptimizer(
    const proto::Optimizer& settings, std::vector<at::Tensor> parameters);

/// Steps all parameters on their gradients with this learning rate. Throws as torch does.
void StepWithLearningRate(torch::optim::Optimizer& optimizer, double learning_rate);

/// The optimiser's state as the bytes of a torch archive, and back.
/// \error kInternal  wrapping what LibTorch threw
absl::StatusOr<std::string> SerializeOptimizer(const torch::optim::Optimizer& optimizer);
absl::Status RestoreOptimizer(const std::string& bytes, torch::optim::Optimizer& optimizer);

}  // namespace sluice
