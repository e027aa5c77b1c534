#pragma once

#include <cstdint>
#include <vector>

#include "policies/solver/knapsack.h"

namespace sluice {

/// An option that survived dominance; `index` is its place among the layer's options as given.
struct FrontOption {
  int64_t size = 0;
  int64_t error = 0;
  int32_t index = 0;
};

/// The options of one layer that may be part of an optimum.
/// \invariant not empty; sizes strictly grow and errors strictly fall, so that the last has the
/// least error
using Front = std::vector<FrontOption>;

/// Drops every option that another one beats or equals in both numbers; among equals the lowest
/// index stays. O(K log K). \pre not empty
Front UndominatedOptions(const std::vector<KnapsackOption>& options);

/// Positions in `front` of the vertices of its lower convex hull, from least error to least size.
/// Source: Andrew 1979, monotone chain. O(K), exact.
std::vector<int32_t> LowerHull(const Front& front);

}  // namespace sluice
