#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "policies/solver/front.h"

namespace sluice {

enum class LayerOrder {
  kLargestSpreadFirst,  ///< fast: late layers leave little to decide
  kLastLayerFirst,      ///< among equal optima finds the lexicographically smallest choice
};

struct SearchLimits {
  int64_t budget = 0;     ///< most error
  int64_t threshold = 0;  ///< most size: states that must end above it are dropped
  int64_t max_work = 0;   ///< states examined; the search gives up beyond
  /// Most states kept per layer, those with the least bounds: a beam. The search is then a
  /// heuristic.
  size_t max_width = std::numeric_limits<size_t>::max();
};

struct SearchResult {
  bool complete = false;  ///< the work limit was not reached, no state was dropped for width
  bool found = false;  ///< an assignment within budget and threshold; the best one when `complete`
  int64_t size = 0;
  int64_t error = 0;
  std::vector<int32_t> choice;  ///< indices of options as given
  int64_t work = 0;
};

/// List-based dynamic programming over layers: a state is the (size, error) of the layers decided
/// so far, and only states that no other one dominates and whose relaxed bound is within the
/// threshold live on. O(states * options) time; 8 bytes per live state for the way back.
SearchResult ParetoSearch(const std::vector<Front>& fronts, LayerOrder order,
                          const SearchLimits& limits);

}  // namespace sluice
