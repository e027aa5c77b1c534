#pragma once

#include <utility>
#include <vector>

namespace sluice {

/// Two hosts by index, first < second.
using HostPair = std::pair<int, int>;

/// Rounds of pairs that can be measured at once: within a round no host is in two pairs, and no pair comes twice. Each
/// host is in two pairs with different partners (in one, if there are only two hosts), so that of two slow pairs the
/// host that they share can be told. Two rounds; three if the number of hosts is odd, where one host rests in each.
/// Source: the circle method for round-robin tournaments.
/// \pre hosts >= 0
std::vector<std::vector<HostPair>> PairRounds(int hosts);

}  // namespace sluice
