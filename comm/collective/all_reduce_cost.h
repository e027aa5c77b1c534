#pragma once

#include <cstdint>

#include "absl/types/span.h"
#include "comm/collective/all_reduce_algorithm.h"
#include "comm/collective/link_estimate.h"

namespace sluice {

/// Seconds that all-reducing `bytes` takes by the model of docs/collectives.md: a latency per step,
/// an overhead per message, and the bytes through what is narrowest. Pure arithmetic.
///
/// \param algorithm     not kAuto
/// \param host_of_rank  of `ranks` entries, or empty: all on one host
/// \param link          between hosts, shared by the ranks of a host; or inside the only host
double AllReduceSeconds(AllReduceAlgorithm algorithm, int64_t bytes, int ranks,
                        absl::Span<const int> host_of_rank, const LinkEstimate& link);

/// The algorithm with the lowest AllReduceSeconds; of equals the first in their order. Never kAuto.
/// Every rank that gives the same values gets the same answer.
AllReduceAlgorithm ChooseAllReduce(int64_t bytes, int ranks, absl::Span<const int> host_of_rank,
                                   const LinkEstimate& link);

}  // namespace sluice
