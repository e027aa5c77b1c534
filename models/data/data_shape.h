#pragma once

#include <cstdint>
#include <vector>

namespace sluice {

/// What one sample looks like: a network is built for it.
struct DataShape {
  std::vector<int64_t> input;    ///< images: channels, height, width; tokens: positions
  int64_t classes = 0;           ///< a target is below it; tokens: the vocabulary
  bool target_per_position = false;  ///< targets are n x positions rather than n
};

}  // namespace sluice
