#pragma once

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "models/data/dataset.h"
#include "models/zoo/network.h"
#include "training/robust/robustness.h"

namespace sluice {

/// The part of `rank` in a world of `world_size`: samples rank, rank + world_size, ...; the counts of all parts add up to
/// those of one rank, but where rounding decides.
/// \error kInternal         wrapping what LibTorch threw
/// \error kInvalidArgument  the data are no images
absl::StatusOr<RobustnessCounts> AttackShardOf(const Dataset& set, uint64_t seed,
                                               const RobustnessQuestion& question, Rank rank,
                                               int world_size, Network& network);

}  // namespace sluice
