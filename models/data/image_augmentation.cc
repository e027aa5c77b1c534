#include "models/data/image_augmentation.h"

#include <algorithm>
#include <limits>
#include <random>

#include "base/check.h"

namespace sluice {
namespace {

constexpr int kValues = 256;  // of a pixel

// A key's stream as the standard's distributions want it.
class KeyBits {
 public:
  using result_type = uint64_t;
  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return std::numeric_limits<result_type>::max(); }
  explicit KeyBits(RandomKey key) : key_(key) {}
  result_type operator()() { return key_.Bits(next_++); }

 private:
  RandomKey key_;
  uint64_t next_ = 0;
};

}  // namespace

ImageChange DrawChange(const ImageAugmentation& augmentation, RandomKey key) {
  ImageChange change;
  if (augmentation.crop_padding > 0) {
    const RandomKey crop = key.With("crop");
    const int64_t places = 2 * augmentation.crop_padding + 1;
    change.down = static_cast<int64_t>(crop.Below(0, places)) - augmentation.crop_padding;
    change.right = static_cast<int64_t>(crop.Below(1, places)) - augmentation.crop_padding;
  }
  change.mirrored = augmentation.flip && key.With("flip").Below(0, 2) == 1;
  return change;
}

Mix DrawMix(double alpha, int64_t samples, RandomKey key) {
  const RandomKey mix = key.With("mixup");
  // Beta(a, a) from two of Gamma(a); with a tiny `alpha` both may underflow.
  KeyBits bits(mix.With("weight"));
  std::gamma_distribution<double> gamma(alpha, 1);
  const double own = gamma(bits), other = gamma(bits);
  const double weight = own + other > 0 ? own / (own + other) : 1;
  return {static_cast<int64_t>(mix.With("partner").Below(0, samples)), static_cast<float>(weight)};
}

PixelNormaliser::PixelNormaliser(const ImageFormat& format)
    : channels_(format.channels), height_(format.height), width_(format.width) {
  SLUICE_CHECK(static_cast<int64_t>(format.mean.size()) == channels_ &&
                   static_cast<int64_t>(format.deviation.size()) == channels_,
               "every channel has its mean and deviation");
  for (int64_t c = 0; c < channels_; ++c) {
    for (int value = 0; value < kValues; ++value) {
      value_of_.push_back((static_cast<float>(value) / 255.0f - format.mean[c]) /
                          format.deviation[c]);
    }
  }
}

void PixelNormaliser::Write(const uint8_t* pixels, const ImageChange& change, float* out) const {
  // Columns [begin, end) of the result lie inside the image.
  const int64_t begin = std::min(width_, std::max<int64_t>(0, -change.right));
  const int64_t end = std::max(begin, std::min(width_, width_ - change.right));
  for (int64_t c = 0; c < channels_; ++c) {
    const float* value = value_of_.data() + c * kValues;
    for (int64_t y = 0; y < height_; ++y, out += width_) {
      const int64_t from = y + change.down;
      if (from < 0 || from >= height_) {
        std::fill_n(out, width_, value[0]);
        continue;
      }
      const uint8_t* row = pixels + (c * height_ + from) * width_;
      std::fill(out, out + begin, value[0]);
      if (change.mirrored) {
        const uint8_t* last = row + width_ - 1 - change.right;
        for (int64_t x = begin; x < end; ++x) out[x] = value[last[-x]];
      } else {
        const uint8_t* first = row + change.right;
        for (int64_t x = begin; x < end; ++x) out[x] = value[first[x]];
      }
      std::fill(out + end, out + width_, value[0]);
    }
  }
}

}  // namespace sluice
