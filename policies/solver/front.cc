#include "policies/solver/front.h"

#include <algorithm>
#include <tuple>

namespace sluice {
namespace {

__extension__ typedef __int128 Wide;

/// True when `mid` lies on or above the line from `low` (less error) to `high` (more error).
bool OnOrAbove(const FrontOption& low, const FrontOption& mid, const FrontOption& high) {
  return static_cast<Wide>(low.size - mid.size) * (high.error - low.error) <=
         static_cast<Wide>(low.size - high.size) * (mid.error - low.error);
}

}  // namespace

Front UndominatedOptions(const std::vector<KnapsackOption>& options) {
  Front sorted;
  sorted.reserve(options.size());
  for (size_t i = 0; i < options.size(); ++i) {
    sorted.push_back({options[i].size, options[i].error, static_cast<int32_t>(i)});
  }
  std::sort(sorted.begin(), sorted.end(), [](const FrontOption& a, const FrontOption& b) {
    return std::tie(a.size, a.error, a.index) < std::tie(b.size, b.error, b.index);
  });
  size_t kept = 1;
  for (size_t i = 1; i < sorted.size(); ++i) {
    if (sorted[i].error < sorted[kept - 1].error) sorted[kept++] = sorted[i];
  }
  sorted.resize(kept);
  return sorted;
}

std::vector<int32_t> LowerHull(const Front& front) {
  std::vector<int32_t> hull;
  for (int32_t i = static_cast<int32_t>(front.size()) - 1; i >= 0; --i) {
    while (hull.size() >= 2 &&
           OnOrAbove(front[hull[hull.size() - 2]], front[hull.back()], front[i])) {
      hull.pop_back();
    }
    hull.push_back(i);
  }
  return hull;
}

}  // namespace sluice
