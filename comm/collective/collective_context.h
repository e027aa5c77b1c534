#pragma once

#include <cstdint>

#include "absl/time/time.h"
#include "comm/transport/transport.h"

namespace sluice {

/// What every collective needs: the transport, who takes part, and the name of this operation.
///
/// All collectives: every rank calls with buffers of equal length; on an error the caller must not
/// use the transport for another collective (a peer may be in the middle of this one): membership
/// decides. Errors are those of Transport, with the collective's name in front; none leaves a
/// request behind, so that the buffers are free. \threadsafety comm thread only
struct CollectiveContext {
  Transport& transport;
  /// Ranks 0 to world_size - 1 take part; further peers of the transport do not.
  int world_size = 0;
  /// Names the operation: equal on all ranks, different from every other one in flight. Below 2^32.
  /// Each collective uses tags (operation << 8) + phase.
  uint32_t operation = 0;
  /// No operation outlives it; afterwards the buffers' contents are unspecified.
  absl::Time deadline;
};

}  // namespace sluice
