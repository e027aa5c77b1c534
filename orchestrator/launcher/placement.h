#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "orchestrator/launcher/host_list.h"

namespace sluice {

/// Where one worker runs.
struct Placement {
  int rank = 0;
  int host = 0;        ///< index in the list of hosts
  int node = 0;        ///< index among the hosts that have workers
  int nodes = 1;       ///< hosts that have workers
  int local_rank = 0;  ///< among the workers of its host
  int local_size = 1;
  int cross_rank = 0;  ///< of its host among those that have this local rank
  int cross_size = 1;
};

/// Fills hosts in the order given: each host's slots get consecutive ranks, until there are `workers`.
/// \pre workers > 0
/// \return by rank
/// \error kUnavailable  fewer slots than workers: both numbers, and the slots of each host
absl::StatusOr<std::vector<Placement>> Place(absl::Span<const HostSlots> hosts, int workers);

/// The hosts of `now`, those of `before` first and in their order there: so the oldest host owns rank 0, and what
/// newcomers copy is the freshest state.
/// \error kFailedPrecondition  none of `before` is left: nobody holds the state
absl::StatusOr<std::vector<HostSlots>> OldHostsFirst(absl::Span<const HostSlots> before,
                                                     absl::Span<const HostSlots> now);

}  // namespace sluice
