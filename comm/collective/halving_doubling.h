#pragma once

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "comm/collective/all_reduce_call.h"

namespace sluice {

/// Pairs at distances P/2, P/4, ..., 1, where P is the largest power of two up to N.
///
///     fold      rank P + r sends its vector to rank r, which adds it
///     halving   partners (r, r ^ distance) share their vector out: each sends the other's half and
///               adds what it gets to its own; the half is the vector of the next distance
///     doubling  the same way back: each sends the sums it has and gets as many others
///     unfold    rank r sends the sums to rank P + r
///
/// Up to kDoublingBytes (doubling.h), partners exchange the whole vector instead and are done at distance 1.
/// Both ways add in the same order: the sum of an element is that of a binary tree whose lowest
/// pairs are the (folded) ranks r and r + P/2, the next ones r and r + P/4, and so on.
///
/// Source: Thakur, Rabenseifner & Gropp 2005, "Optimization of collective communication operations
/// in MPICH". \pre at least 2 ranks
absl::Status HalvingDoubling(AllReduceCall& call, absl::Span<float> data);

}  // namespace sluice
