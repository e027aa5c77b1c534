#include "models/data/image_batch.h"

#include <ATen/ops/empty.h>

#include <array>

namespace sluice {

ImageBatch MakeImageBatch(const ImageSet& set, absl::Span<const int64_t> indices) {
  std::array<float, 256> value_of;
  for (int pixel = 0; pixel < 256; ++pixel) {
    value_of[pixel] = (static_cast<float>(pixel) / 255.0f - set.mean) / set.standard_deviation;
  }
  const int64_t n = static_cast<int64_t>(indices.size());
  const int64_t area = set.height * set.width;
  ImageBatch batch{at::empty({n, 1, set.height, set.width}, at::kFloat), at::empty({n}, at::kLong)};
  float* image = batch.images.data_ptr<float>();
  int64_t* label = batch.labels.data_ptr<int64_t>();
  for (int64_t index : indices) {
    const uint8_t* pixel = set.pixels.data() + index * area;
    for (int64_t i = 0; i < area; ++i) image[i] = value_of[pixel[i]];
    image += area;
    *label++ = set.labels[index];
  }
  return batch;
}

}  // namespace sluice
