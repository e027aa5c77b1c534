#pragma once

#include <cstdint>
#include <tuple>
#include <vector>

#include "policies/solver/knapsack.h"

namespace sluice {

/// By trying every assignment: least size, then least error, then lexicographically smallest
/// choice. Infeasible: least error, then least size, then lexicographically smallest choice.
inline KnapsackSolution BruteForce(const KnapsackInstance& instance) {
  const size_t layers = instance.layers.size();
  KnapsackSolution best, least_error;
  bool any = false;
  std::vector<int> choice(layers, 0);
  for (;;) {
    int64_t size = 0, error = 0;
    for (size_t l = 0; l < layers; ++l) {
      size += instance.layers[l][choice[l]].size;
      error += instance.layers[l][choice[l]].error;
    }
    // Choices come in lexicographic order, so the first of equals is the smallest.
    if (!any || std::tie(error, size) < std::tie(least_error.error, least_error.size)) {
      least_error.choice = choice;
      least_error.size = size;
      least_error.error = error;
      any = true;
    }
    if (error <= instance.budget &&
        (!best.feasible || std::tie(size, error) < std::tie(best.size, best.error))) {
      best.feasible = true;
      best.choice = choice;
      best.size = size;
      best.error = error;
    }
    size_t l = layers;
    while (l > 0 && ++choice[l - 1] == static_cast<int>(instance.layers[l - 1].size())) {
      choice[--l] = 0;
    }
    if (l == 0) return best.feasible ? best : least_error;
  }
}

}  // namespace sluice
