#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "models/data/image_source.h"

namespace sluice {

/// A data set of any shape that a network can learn and that needs no files.
struct SyntheticOptions {
  int64_t channels = 3;
  int64_t side = 32;
  int64_t classes = 10;
  int64_t samples = 0;
  double noise = 0.5;  ///< its share of a pixel, in [0, 1]
  uint64_t seed = 1;
  bool two_inputs = false;
};

/// Image i of class c shows c's own pattern, 4 x 4 random cells per channel, moved around the edges by up to an
/// eighth of the side each way, under uniform noise. Drawn when it is asked for: nothing is kept in memory. Both
/// splits have the same patterns and samples of their own.
///
/// With two inputs, k = ceil(sqrt(classes)): the image shows c / k alone, and SyntheticFeatures c mod k, so
/// that each input alone leaves k candidates.
std::unique_ptr<ImageSource> MakeSyntheticSource(const SyntheticOptions& options, Split split);

/// Values of the second input.
inline constexpr int64_t kSyntheticFeatures = 16;

/// The second input of sample `index` with label `label`: +-1 as label mod k has it, plus noise of up to +-2 noise.
std::vector<float> SyntheticFeatures(const SyntheticOptions& options, Split split, int64_t index,
                                     int64_t label);

}  // namespace sluice
