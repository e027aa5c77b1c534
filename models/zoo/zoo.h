#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "models/data/data_shape.h"
#include "models/zoo/network.h"
#include "proto/job.pb.h"

namespace sluice {

/// Builds the job's `model` for samples of this shape, in training mode, its weights a function of `seed`; of a
/// TorchScript file they are the file's. Sets the seed of torch's default generator on the way.
/// \return shared because torch modules hold their children so; the caller is the one owner
/// \error kInvalidArgument for an unknown name, with the known ones, for samples that it cannot take, and for fields
///                         that it does not heed
/// \error kInternal        wrapping what LibTorch threw
/// \error as LoadTorchScript
absl::StatusOr<std::shared_ptr<Network>> BuildNetwork(const proto::Model& model,
                                                      const DataShape& shape, uint64_t seed);

}  // namespace sluice
