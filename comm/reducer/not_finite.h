#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "base/ids.h"

namespace sluice {

/// What in a step was NaN or an infinity: the same on all ranks.
struct NotFinite {
  /// The loss, before there were gradients.
  static constexpr int kLoss = -1;

  int tensor = kLoss;  ///< the first in backward order
  std::vector<Rank>
      ranks;  ///< whose own gradient (or loss) it was, ascending; empty: all ranks' were
              ///< finite, but their mean is not: encoding or adding overflowed

  bool Includes(Rank rank) const {
    return std::find(ranks.begin(), ranks.end(), rank) != ranks.end();
  }
};

/// Takes up `tensor` of `rank` if none before it was found yet.
inline void AddNotFinite(int tensor, Rank rank, std::optional<NotFinite>& found) {
  if (!found.has_value() || found->ranks.empty() || tensor < found->tensor) {
    found = NotFinite{tensor, {rank}};
  } else if (tensor == found->tensor && !found->Includes(rank)) {
    found->ranks.insert(std::upper_bound(found->ranks.begin(), found->ranks.end(), rank), rank);
  }
}

}  // namespace sluice
