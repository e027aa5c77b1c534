#include "orchestrator/preflight/pair_rounds.h"

#include <algorithm>

namespace sluice {

std::vector<std::vector<HostPair>> PairRounds(int hosts) {
  std::vector<std::vector<HostPair>> rounds;
  if (hosts < 2) return rounds;
  const bool odd = hosts % 2 != 0;
  const int seats = hosts + odd;  // who is paired with the empty seat rests
  const int count = std::min(seats - 1, odd ? 3 : 2);
  for (int round = 0; round < count; ++round) {
    // The last seat stays, the others sit in a circle that turns by one seat a round.
    const auto at = [&](int seat) {
      return seat == seats - 1 ? seat : (seat + round) % (seats - 1);
    };
    std::vector<HostPair> pairs;
    for (int seat = 0; seat < seats / 2; ++seat) {
      const int a = at(seat), b = at(seats - 1 - seat);
      if (std::max(a, b) < hosts) pairs.emplace_back(std::min(a, b), std::max(a, b));
    }
    rounds.push_back(std::move(pairs));
  }
  return rounds;
}

}  // namespace sluice
