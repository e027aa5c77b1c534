#pragma once

#include <vector>

#include "absl/types/span.h"
#include "comm/reducer/bucket_layout.h"

namespace sluice {

/// Deals jobs of different cost out to equal machines: by falling cost, each to the machine that has the least so far.
/// The busiest one has at most 4/3 - 1/(3 shards) of what it has at best. Equal costs go by index, equal machines by
/// number, so that the answer is a function of the arguments alone.
/// Source: Graham, 1969, "Bounds on multiprocessing timing anomalies" (longest processing time first).
/// \param costs   not negative
/// \param shards  at least 1
/// \return by job, its machine in [0, shards)
std::vector<int> ShardByCost(absl::Span<const double> costs, int shards);

/// Which profiler measures which tensor: every rank, profiler and the coordinator compute the same. Of a matrix all
/// options are measured, each pass linear in its elements; of a vector only the norm.
/// \return by tensor of the layout, the number of its profiler in [0, profilers)
std::vector<int> ProfilerShards(const BucketLayout& layout, int profilers);

}  // namespace sluice
