#pragma once

#include <cstdint>
#include <vector>

#include "base/random.h"
#include "models/data/image_set.h"

namespace sluice {

/// Which random changes training images get.
struct ImageAugmentation {
  int64_t crop_padding = 0;  ///< moved by up to so many pixels each way; 0: not moved
  bool flip = false;         ///< left and right change places, in every other image
  double mixup_alpha = 0;    ///< blended by a share from Beta(alpha, alpha); 0: not blended
};

/// How one image is changed.
struct ImageChange {
  int64_t down = 0;  ///< row y of the result is row y + down; outside it is black (pixel 0)
  int64_t right = 0;
  bool mirrored = false;  ///< before it is moved
};

/// A function of its arguments: `key` is the sample's.
/// Source of padded crops and flips: He et al., 2015, "Deep Residual Learning for Image Recognition", 4.2.
ImageChange DrawChange(const ImageAugmentation& augmentation, RandomKey key);

/// What is blended into a sample: out = weight * own + (1 - weight) * partner's, targets alike.
struct Mix {
  int64_t partner = 0;  ///< uniform over the data set, so that no other rank's samples are needed
  float weight = 1;
};
/// Source: Zhang et al., 2017, "mixup: Beyond Empirical Risk Minimization".
/// \pre alpha > 0, samples > 0
Mix DrawMix(double alpha, int64_t samples, RandomKey key);

/// Turns bytes into the floats that a network takes.
class PixelNormaliser {
 public:
  /// \pre the format's mean and deviation have one value per channel, deviations above 0
  explicit PixelNormaliser(const ImageFormat& format);

  /// `out`: channels x height x width of (pixel / 255 - mean) / deviation, of the changed image.
  void Write(const uint8_t* pixels, const ImageChange& change, float* out) const;

 private:
  int64_t channels_, height_, width_;
  std::vector<float> value_of_;  // 256 per channel
};

}  // namespace sluice
