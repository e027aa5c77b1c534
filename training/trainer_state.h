#pragma once

#include <torch/optim/optimizer.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "models/zoo/network.h"
#include "training/model_state.h"
#include "training/safetensors.h"

namespace sluice {

/// What a trainer consists of, as named tensors that borrow the live memory: parameters and buffers
/// under the network's names, the optimiser's state under "optimizer.NAME.PARAMETER".

std::vector<SafeTensor> ParameterTensors(const std::vector<NamedParameter>& parameters);
std::vector<SafeTensor> BufferTensors(const Network& network);

/// Momentum buffers of SGD; counts and both moments of Adam, AdamW and Lamb. None before a parameter's
/// first step.
/// \param counts  holds what has no memory of its own; must outlive the result
std::vector<SafeTensor> OptimizerTensors(const torch::optim::Optimizer& optimizer,
                                         const std::vector<NamedParameter>& parameters,
                                         std::vector<int64_t>* counts);

/// What the optimiser keeps of every element of the parameter: momentum, or both moments. None before its first step.
std::vector<absl::Span<float>> MomentsOf(const torch::optim::Optimizer& optimizer,
                                         const at::Tensor& parameter);

/// Whether RestoreTensors can do it. \error kFailedPrecondition  a tensor that is absent or of another
/// shape: names it
absl::Status CheckTensors(const SafeTensors& from, const std::vector<SafeTensor>& into);

/// Copies tensors of these names, types and shapes into the live memory.
/// \error as CheckTensors; nothing was changed
absl::Status RestoreTensors(const SafeTensors& from, const std::vector<SafeTensor>& into);

/// The optimiser's state becomes what `from` has of it. Throws as torch does.
/// \error kFailedPrecondition  a parameter with a part of its state alone, or of another shape:
///                             nothing was changed
absl::Status RestoreOptimizerTensors(const SafeTensors& from,
                                     const std::vector<NamedParameter>& parameters,
                                     torch::optim::Optimizer& optimizer);

}  // namespace sluice
