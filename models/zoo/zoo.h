#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "models/zoo/network.h"

namespace sluice {

/// Builds the network `name` (model.name of the job), in training mode, its weights a function of
/// `seed`. Sets the seed of torch's default generator on the way.
/// \return shared because torch modules hold their children so; the caller is the one owner
/// \error kInvalidArgument for an unknown name, with the known ones
/// \error kInternal        wrapping what LibTorch threw
absl::StatusOr<std::shared_ptr<Network>> BuildNetwork(const std::string& name, uint64_t seed);

}  // namespace sluice
