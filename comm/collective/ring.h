#pragma once

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "comm/collective/all_reduce_call.h"

namespace sluice {

/// The ring: reduce-scatter, then all-gather, as one stream of messages to the next rank.
///
/// The vector is cut into one chunk per rank, longer ones first. In step s rank r sends chunk r - s
/// and receives chunk r - s - 1. In the first N - 1 steps it adds what it receives to its own
/// values; in the last N - 1 steps what it receives is a sum. A message goes on as soon as it is
/// here, whatever the rest of its chunk does. The sum of chunk c starts with the values of rank c
/// and ends with those of rank c - 1.
///
/// Source: Patarasuk & Yuan 2009, "Bandwidth optimal all-reduce algorithms for clusters of
/// workstations". \pre at least 2 ranks
absl::Status Ring(AllReduceCall& call, absl::Span<float> data);

}  // namespace sluice
