#pragma once

#include <torch/csrc/jit/api/module.h>

#include "absl/status/statusor.h"
#include "models/graph/groups.h"
#include "models/graph/program.h"

namespace sluice::graph {

/// A TorchScript module that computes what `program` does without what `cut` leaves out; an empty cut leaves all in.
///
/// Parameters and buffers are copies, in modules and under names as in the network that was imported; tied ones stay
/// tied. forward takes the inputs one by one and gives a tensor, or a tuple of several. train() and eval() set one
/// attribute, `training`, that batch norm, dropout and what counts batches follow. The batch may have any size.
/// The module can be saved, and LoadTorchScript trains it. It starts in evaluation mode.
/// \error kInvalidArgument  as ApplyCut
/// \error kInternal         LibTorch threw
absl::StatusOr<torch::jit::Module> Rebuild(const Program& program, const Cut& cut = {});

}  // namespace sluice::graph
