#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "models/zoo/network.h"

namespace sluice {

struct NamedParameter {
  std::string name;
  at::Tensor tensor;
};

/// The network's parameters, last first: the order in which backward finishes their gradients when
/// modules are registered in the order of forward. A property of the network alone, so equal on all
/// ranks.
std::vector<NamedParameter> ParametersInBackwardOrder(const Network& network);

/// Its fp32 buffers in registration order; the spans are valid as long as the network.
std::vector<absl::Span<float>> FloatBuffersOf(const Network& network);

/// What Network::WriteArchive writes, for other programs: of a TorchScript model a TorchScript file again, which
/// model.torchscript takes; of the others parameters and buffers as a torch archive.
/// \error kInternal  wrapping what LibTorch threw
absl::StatusOr<std::string> SerializeNetwork(const Network& network);

}  // namespace sluice
