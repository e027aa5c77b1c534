#include "comm/low_rank/alternation.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>

namespace sluice {

std::vector<int> AlternationParities(absl::Span<const FactorSizes> tensors) {
  const auto excess = [&](size_t i) { return tensors[i].right - tensors[i].left; };
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return std::abs(excess(a)) > std::abs(excess(b)); });
  std::vector<int> parities(tensors.size(), 0);
  int64_t gap = 0;  // what odd steps send beyond even ones
  for (size_t i : order) {
    parities[i] = std::abs(gap + excess(i)) <= std::abs(gap - excess(i)) ? 0 : 1;
    gap += parities[i] == 0 ? excess(i) : -excess(i);
  }
  return parities;
}

}  // namespace sluice
