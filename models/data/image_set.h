#pragma once

#include <cstdint>
#include <vector>

namespace sluice {

enum class Split { kTrain, kTest };

/// What all images of a set have in common.
struct ImageFormat {
  int64_t channels = 1;
  int64_t height = 0;
  int64_t width = 0;
  int64_t classes = 0;
  /// Per channel, of pixel / 255 over the training set; a batch is normalised by them.
  std::vector<float> mean;
  std::vector<float> deviation;

  int64_t pixels() const { return channels * height * width; }
};

/// Labelled images in memory as the file holds them.
struct ImageSet {
  ImageFormat format;
  int64_t count = 0;
  std::vector<uint8_t> pixels;  ///< count x channels x height x width
  std::vector<uint8_t> labels;  ///< count, each below format.classes
};

/// Sets the format's mean and deviation to those of the set's own pixels.
/// \pre count > 0
void MeasureImages(ImageSet& set);

}  // namespace sluice
