#pragma once

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "comm/collective/collective_context.h"

namespace sluice {

/// AllReduce (all_reduce.h) by the ring, with scratch of its own: allocates at every call.
absl::Status RingAllReduce(const CollectiveContext& context, absl::Span<float> data);

}  // namespace sluice
