#include "models/data/image_dataset.h"

#include <ATen/ops/empty.h>

#include <array>
#include <utility>

#include "models/torch_guard.h"

namespace sluice {
namespace {

class ImageDataset : public Dataset {
 public:
  explicit ImageDataset(ImageSet set) : set_(std::move(set)) {
    shape_.input = {1, set_.height, set_.width};
    shape_.classes = set_.classes;
    for (int pixel = 0; pixel < 256; ++pixel) {
      value_of_[pixel] = (static_cast<float>(pixel) / 255.0f - set_.mean) / set_.standard_deviation;
    }
  }

  int64_t size() const override { return set_.count; }
  const DataShape& shape() const override { return shape_; }

  absl::StatusOr<Batch> Make(absl::Span<const int64_t> indices,
                             const std::optional<Augmentation>&) const override {
    return TorchGuard("make a batch of images", [&] {
      const int64_t n = static_cast<int64_t>(indices.size());
      const int64_t area = set_.height * set_.width;
      Batch batch{{at::empty({n, 1, set_.height, set_.width}, at::kFloat)},
                  at::empty({n}, at::kLong)};
      float* image = batch.inputs[0].data_ptr<float>();
      int64_t* label = batch.targets.data_ptr<int64_t>();
      for (int64_t index : indices) {
        const uint8_t* pixel = set_.pixels.data() + index * area;
        for (int64_t i = 0; i < area; ++i) image[i] = value_of_[pixel[i]];
        image += area;
        *label++ = set_.labels[index];
      }
      return batch;
    });
  }

 private:
  const ImageSet set_;
  DataShape shape_;
  std::array<float, 256> value_of_;  // of a pixel, normalised
};

}  // namespace

std::unique_ptr<Dataset> MakeImageDataset(ImageSet set) {
  return std::make_unique<ImageDataset>(std::move(set));
}

}  // namespace sluice
