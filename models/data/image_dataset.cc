#include "models/data/image_dataset.h"

#include <ATen/ops/empty.h>

#include <utility>

#include "base/status_macros.h"
#include "models/torch_guard.h"

namespace sluice {
namespace {

class MemorySource : public ImageSource {
 public:
  explicit MemorySource(ImageSet set) : set_(std::move(set)) {}

  const ImageFormat& format() const override { return set_.format; }
  int64_t size() const override { return set_.count; }
  int64_t Label(int64_t index) const override { return set_.labels[index]; }
  absl::StatusOr<const uint8_t*> Pixels(int64_t index, std::vector<uint8_t>&) const override {
    return set_.pixels.data() + index * set_.format.pixels();
  }

 private:
  const ImageSet set_;
};

class ImageDataset : public Dataset {
 public:
  ImageDataset(std::unique_ptr<ImageSource> source, const ImageFormat& format,
               const ImageAugmentation& augmentation)
      : source_(std::move(source)),
        augmentation_(augmentation),
        format_(format),
        normaliser_(format),
        pixels_(format.pixels()) {
    shape_.input = {format.channels, format.height, format.width};
    shape_.classes = format.classes;
  }

  int64_t size() const override { return source_->size(); }
  const DataShape& shape() const override { return shape_; }
  const ImageFormat* image_format() const override { return &format_; }

  absl::StatusOr<Batch> Make(absl::Span<const int64_t> indices,
                             const std::optional<Augmentation>& augmentation) const override {
    return TorchGuard("make a batch of images",
                      [&] { return MakeUnguarded(indices, augmentation); });
  }

 private:
  absl::StatusOr<Batch> MakeUnguarded(absl::Span<const int64_t> indices,
                                      const std::optional<Augmentation>& augmentation) const {
    const int64_t n = static_cast<int64_t>(indices.size());
    const bool mixes = augmentation.has_value() && augmentation_.mixup_alpha > 0;
    Batch batch;
    batch.inputs = {at::empty({n, shape_.input[0], shape_.input[1], shape_.input[2]}, at::kFloat)};
    batch.targets = at::empty({n}, at::kLong);
    if (mixes) {
      batch.mixed_targets = at::empty({n}, at::kLong);
      batch.weights = at::empty({n}, at::kFloat);
    }
    float* image = batch.inputs[0].data_ptr<float>();
    int64_t* const targets = batch.targets.data_ptr<int64_t>();
    std::vector<uint8_t> scratch;
    std::vector<float> partner(mixes ? pixels_ : 0);
    for (int64_t i = 0; i < n; ++i, image += pixels_) {
      targets[i] = source_->Label(indices[i]);
      if (!augmentation.has_value()) {
        SLUICE_RETURN_IF_ERROR(Write(indices[i], {}, scratch, image));
        continue;
      }
      const RandomKey key = augmentation->key.With(static_cast<uint64_t>(augmentation->first + i));
      SLUICE_RETURN_IF_ERROR(Write(indices[i], DrawChange(augmentation_, key), scratch, image));
      if (!mixes) continue;
      const Mix mix = DrawMix(augmentation_.mixup_alpha, source_->size(), key);
      SLUICE_RETURN_IF_ERROR(Write(mix.partner, DrawChange(augmentation_, key.With("partner")),
                                   scratch, partner.data()));
      for (int64_t p = 0; p < pixels_; ++p) {
        image[p] = mix.weight * image[p] + (1 - mix.weight) * partner[p];
      }
      batch.mixed_targets.data_ptr<int64_t>()[i] = source_->Label(mix.partner);
      batch.weights.data_ptr<float>()[i] = mix.weight;
    }
    return batch;
  }

  absl::Status Write(int64_t index, const ImageChange& change, std::vector<uint8_t>& scratch,
                     float* out) const {
    SLUICE_ASSIGN_OR_RETURN(const uint8_t* pixels, source_->Pixels(index, scratch));
    normaliser_.Write(pixels, change, out);
    return absl::OkStatus();
  }

  const std::unique_ptr<ImageSource> source_;
  const ImageAugmentation augmentation_;
  const ImageFormat format_;
  const PixelNormaliser normaliser_;
  const int64_t pixels_;
  DataShape shape_;
};

}  // namespace

std::unique_ptr<Dataset> MakeImageDataset(std::unique_ptr<ImageSource> source,
                                          const ImageFormat& format,
                                          const ImageAugmentation& augmentation) {
  return std::make_unique<ImageDataset>(std::move(source), format, augmentation);
}

std::unique_ptr<ImageSource> MakeMemorySource(ImageSet set) {
  return std::make_unique<MemorySource>(std::move(set));
}

}  // namespace sluice
