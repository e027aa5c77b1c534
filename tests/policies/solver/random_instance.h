#pragma once

#include <cstdint>

#include "base/random.h"
#include "policies/solver/knapsack.h"

namespace sluice {

/// Numbers drawn one after another from a key.
class Draws {
 public:
  explicit Draws(RandomKey key) : key_(key) {}
  /// Uniform in [low, high].
  int64_t Between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(key_.Below(counter_++, high - low + 1));
  }

 private:
  RandomKey key_;
  uint64_t counter_ = 0;
};

struct InstanceShape {
  int max_layers = 6;
  int max_options = 5;
  int64_t max_value = 30;  ///< small values give many ties
};

/// Any options, any budget: often infeasible, often tied.
inline KnapsackInstance RandomInstance(RandomKey key, const InstanceShape& shape = {}) {
  Draws draws(key);
  KnapsackInstance instance;
  int64_t errors = 0;
  const int64_t layers = draws.Between(1, shape.max_layers);
  for (int64_t l = 0; l < layers; ++l) {
    auto& options = instance.layers.emplace_back();
    const int64_t count = draws.Between(1, shape.max_options);
    for (int64_t c = 0; c < count; ++c) {
      options.push_back({draws.Between(0, shape.max_value), draws.Between(0, shape.max_value)});
    }
    errors += shape.max_value;
  }
  instance.budget = draws.Between(0, errors * 2 / 3);
  return instance;
}

/// Like a network's layers: sizes over several magnitudes, each option about half the size and
/// thrice the error of the one before; budget = error of the middle option everywhere.
inline KnapsackInstance NetworkInstance(RandomKey key, int layers, int options) {
  Draws draws(key);
  KnapsackInstance instance;
  for (int l = 0; l < layers; ++l) {
    auto& list = instance.layers.emplace_back();
    const int64_t elements = int64_t{1} << draws.Between(8, 20);
    double error = static_cast<double>(draws.Between(1'000'000, 100'000'000));
    for (int c = 0; c < options; ++c) {
      list.push_back({elements * (c + 1) / 8 + draws.Between(0, 64), static_cast<int64_t>(error)});
      error = error / 2 * (0.9 + 0.0001 * static_cast<double>(draws.Between(0, 2000)));
    }
    instance.budget += list[options / 2].error;
  }
  return instance;
}

}  // namespace sluice
