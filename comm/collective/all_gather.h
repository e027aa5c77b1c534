#pragma once

#include <cstddef>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "comm/collective/collective_context.h"

namespace sluice {

/// out = the `mine` of rank 0, of rank 1, ...; out.size() == world_size * mine.size(). `mine` may
/// be this rank's own part of `out`. Ring; cost: N - 1 steps, each rank sends (N - 1) times `mine`.
absl::Status AllGather(const CollectiveContext& context, absl::Span<const std::byte> mine,
                       absl::Span<std::byte> out);

}  // namespace sluice
