#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "models/zoo/network.h"

namespace sluice {

/// Loads a TorchScript file, scripted or traced, as a network in training mode.
///
/// Its parameters are the module's own: same names (dots between modules), same order of registration, same memory,
/// so that training changes the module. Only parameters with requires_grad are trained; tied ones (same memory) are
/// one, under the first name. Of the buffers, those that forward changes are the network's buffers; the rest, as
/// other tensors and fixed parameters, stays what the file has. Weights come from the file alone.
///
/// The module's forward takes the inputs of a batch as arguments in their order, or one tuple or list of them, and
/// returns the logits. It is tried once on a copy, forward and backward, before this returns.
///
/// WriteArchive gives a TorchScript file again, in evaluation mode, with the weights as they are then.
/// \param path     relative to the working directory
/// \param example  random inputs to try it with, a batch of any size
/// \param logits   shape of the result for them
/// \error kNotFound         no such file
/// \error kDataLoss         a file that LibTorch cannot read as TorchScript
/// \error kInvalidArgument  nothing to train in it (frozen, no parameter with requires_grad); a parameter that is not
///                          fp32, or that shares only a part of another one's memory; state that a checkpoint could not
///                          hold; operators without a gradient; other arguments or logits. Names path and reason
absl::StatusOr<std::shared_ptr<Network>> LoadTorchScript(const std::string& path,
                                                         const std::vector<at::Tensor>& example,
                                                         const std::vector<int64_t>& logits);

}  // namespace sluice
