#include "models/data/synthetic.h"

#include <algorithm>
#include <cmath>

#include "base/random.h"

namespace sluice {
namespace {

constexpr int64_t kCells = 4;  // of a pattern, each way

RandomKey SplitKey(const SyntheticOptions& options, Split split) {
  return RandomKey(options.seed).With(split == Split::kTrain ? "train" : "test");
}

// k of the header.
int64_t FeatureClasses(const SyntheticOptions& options) {
  return static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(options.classes))));
}

class SyntheticSource : public ImageSource {
 public:
  SyntheticSource(const SyntheticOptions& options, Split split)
      : options_(options),
        patterns_(RandomKey(options.seed).With("patterns")),
        samples_(SplitKey(options, split)),
        noise_(static_cast<int>(std::lround(256 * options.noise))) {
    format_.channels = options.channels;
    format_.height = format_.width = options.side;
    format_.classes = options.classes;
    format_.mean.assign(options.channels, 0.5f);
    format_.deviation.assign(options.channels, 0.25f);
  }

  const ImageFormat& format() const override { return format_; }
  int64_t size() const override { return options_.samples; }
  int64_t Label(int64_t index) const override {
    return static_cast<int64_t>(samples_.With("labels").Below(index, options_.classes));
  }

  absl::StatusOr<const uint8_t*> Pixels(int64_t index,
                                        std::vector<uint8_t>& scratch) const override {
    const int64_t label = Label(index);
    const RandomKey pattern = patterns_.With(
        static_cast<uint64_t>(options_.two_inputs ? label / FeatureClasses(options_) : label));
    const RandomKey sample = samples_.With(static_cast<uint64_t>(index));
    const int64_t side = options_.side, reach = side / 8;
    const auto move = [&](int axis) {
      return side + static_cast<int64_t>(sample.With("move").Below(axis, 2 * reach + 1)) - reach;
    };
    const int64_t down = move(0), right = move(1);
    const RandomKey noise = sample.With("noise");
    scratch.resize(format_.pixels());
    uint64_t bits = 0;
    int64_t at = 0;
    for (int64_t c = 0; c < options_.channels; ++c) {
      for (int64_t y = 0; y < side; ++y) {
        int row[kCells];
        const int64_t cell_y = (y + down) % side * kCells / side;
        for (int64_t x = 0; x < kCells; ++x) {
          row[x] = static_cast<int>(pattern.Below((c * kCells + cell_y) * kCells + x, 256));
        }
        for (int64_t x = 0; x < side; ++x, ++at, bits >>= 8) {
          if (at % 8 == 0) bits = noise.Bits(at / 8);
          const int shown = row[(x + right) % side * kCells / side];
          scratch[at] = static_cast<uint8_t>(
              ((256 - noise_) * shown + noise_ * static_cast<int>(bits & 255)) >> 8);
        }
      }
    }
    return scratch.data();
  }

 private:
  const SyntheticOptions options_;
  const RandomKey patterns_;
  const RandomKey samples_;
  const int noise_;  // of 256
  ImageFormat format_;
};

}  // namespace

std::unique_ptr<ImageSource> MakeSyntheticSource(const SyntheticOptions& options, Split split) {
  return std::make_unique<SyntheticSource>(options, split);
}

std::vector<float> SyntheticFeatures(const SyntheticOptions& options, Split split, int64_t index,
                                     int64_t label) {
  const RandomKey pattern = RandomKey(options.seed)
                                .With("features")
                                .With(static_cast<uint64_t>(label % FeatureClasses(options)));
  const RandomKey noise =
      SplitKey(options, split).With(static_cast<uint64_t>(index)).With("features");
  std::vector<float> features;
  for (int64_t i = 0; i < kSyntheticFeatures; ++i) {
    const double uniform = static_cast<double>(noise.Below(i, 1 << 20)) / (1 << 19) - 1;
    features.push_back(
        static_cast<float>((pattern.Below(i, 2) == 0 ? -1 : 1) + 2 * options.noise * uniform));
  }
  return features;
}

}  // namespace sluice
