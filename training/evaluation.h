#pragma once

#include "absl/status/statusor.h"
#include "models/data/dataset.h"
#include "models/zoo/network.h"
#include "training/trainer.h"

namespace sluice {

/// Evaluates samples rank, rank + world_size, rank + 2 world_size, ... without gradients, batch
/// norm on its running statistics. The network is in training mode afterwards, whatever happens.
/// \error kInternal  wrapping what LibTorch threw
/// \error as Dataset::Make
absl::StatusOr<proto::Evaluation> EvaluateShardOf(const Dataset& set, Rank rank, int world_size,
                                                  Network& network);

}  // namespace sluice
