#pragma once

#include <cstddef>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "base/ids.h"
#include "comm/collective/collective_context.h"

namespace sluice {

/// Every rank gets root's bytes, along a binomial tree: in step s each of the 2^s ranks that have
/// the bytes sends them on. Cost: ceil(log2 N) steps; root sends the bytes that often. \pre root is
/// below context.world_size
absl::Status Broadcast(const CollectiveContext& context, Rank root, absl::Span<std::byte> data);

}  // namespace sluice
