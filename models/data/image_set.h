#pragma once

#include <cstdint>
#include <vector>

namespace sluice {

/// Labelled grey images in memory as the file holds them; a batch is normalised when it is made.
struct ImageSet {
  int64_t count = 0;
  int64_t height = 0;
  int64_t width = 0;
  int64_t classes = 0;
  std::vector<uint8_t> pixels;  ///< count x height x width
  std::vector<uint8_t> labels;  ///< count, each below `classes`
  /// Of pixel / 255, over the training set.
  float mean = 0;
  float standard_deviation = 1;
};

}  // namespace sluice
