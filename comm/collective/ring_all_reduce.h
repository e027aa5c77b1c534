#pragma once

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "comm/collective/collective_context.h"

namespace sluice {

/// data[i] = sum over ranks of data[i], in a fixed order: the same bits on every rank and every
/// run.
///
/// The vector is cut into one chunk per rank, longer ones first. Round 1 sums: in step s rank r
/// sends chunk r - s to rank r + 1, which adds its own values. Round 2 hands the sums round the
/// same way. The sum of chunk c starts with the values of rank c and ends with those of rank c - 1.
///
/// Cost: 2 (N - 1) steps; each rank sends 2 (N - 1) / N of the vector; needs 1 / N of it as
/// scratch. Source: Patarasuk & Yuan 2009, "Bandwidth optimal all-reduce algorithms for clusters of
/// workstations".
absl::Status RingAllReduce(const CollectiveContext& context, absl::Span<float> data);
absl::Status RingAllReduce(const CollectiveContext& context, absl::Span<double> data);

}  // namespace sluice
