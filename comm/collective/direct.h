#pragma once

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "comm/collective/all_reduce_call.h"

namespace sluice {

/// Direct exchange among the ranks of a group, and, where there are several, across groups.
///
/// Each of the first `owners` ranks of the group owns a chunk of the vector, longer ones first. A
/// chunk is cut into messages, and each of these goes its way on its own:
///
///     sum           all of the group send their values to the owner, which adds them
///     cross sum     the owners of this chunk in the other groups exchange parts of their sums,
///                   each adds up its own part ...
///     cross gather  ... and sends it to the others
///     gather        the owner sends the sum to all of the group
///
/// While the sums of one message are on their way across, the next is being added and further ones
/// arrive. Sums run in the order of `group` first, then in that of `across`.
///
/// Source: the reduce-scatter and all-gather of CGX (Markov et al. 2022), section 2.2, on raw
/// values; two levels as in Horovod (Sergeev & Del Balso 2018).
struct DirectGroups {
  /// The ranks of my group, ascending, me among them.
  absl::Span<const int> group;
  /// Which of them own chunks; each has the same position in its own group as in every other.
  int owners;
  /// The owners of my chunk in all groups, in an order all share, me among them; empty where I own
  /// none.
  absl::Span<const int> across;
};

absl::Status Direct(AllReduceCall& call, const DirectGroups& groups, absl::Span<float> data);

}  // namespace sluice
