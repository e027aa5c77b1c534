#include "models/data/image_set.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace sluice {

void MeasureImages(ImageSet& set) {
  const int64_t area = set.format.height * set.format.width;
  set.format.mean.clear();
  set.format.deviation.clear();
  for (int64_t c = 0; c < set.format.channels; ++c) {
    std::array<int64_t, 256> count{};  // of each value: exact, in any order
    for (int64_t i = 0; i < set.count; ++i) {
      const uint8_t* pixel = set.pixels.data() + (i * set.format.channels + c) * area;
      for (int64_t p = 0; p < area; ++p) ++count[pixel[p]];
    }
    double sum = 0, squares = 0;
    for (int value = 0; value < 256; ++value) {
      sum += value / 255.0 * count[value];
      squares += value / 255.0 * (value / 255.0) * count[value];
    }
    const double n = static_cast<double>(set.count * area);
    const double variance = squares / n - sum / n * (sum / n);
    set.format.mean.push_back(static_cast<float>(sum / n));
    // Images all of one value have no deviation; they stay finite.
    set.format.deviation.push_back(static_cast<float>(std::sqrt(std::max(variance, 1e-12))));
  }
}

}  // namespace sluice
