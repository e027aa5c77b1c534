#pragma once

#include <cstdint>
#include <vector>

namespace sluice {

/// What one sample looks like: a network is built for it.
struct DataShape {
  std::vector<int64_t> input;        ///< images: channels, height, width; tokens: positions
  int64_t classes = 0;               ///< a target is below it; tokens: the vocabulary
  bool target_per_position = false;  ///< targets are n x positions rather than n
  /// Of the inputs after the first, where a network takes several.
  std::vector<std::vector<int64_t>> more_inputs = {};
};

}  // namespace sluice
