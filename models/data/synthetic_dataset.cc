#include "models/data/synthetic_dataset.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <utility>

#include "base/status_macros.h"
#include "models/torch_guard.h"

namespace sluice {
namespace {

class TwoInputs : public Dataset {
 public:
  TwoInputs(std::unique_ptr<Dataset> images, const SyntheticOptions& options, Split split)
      : images_(std::move(images)), options_(options), split_(split), shape_(images_->shape()) {
    shape_.more_inputs = {{kSyntheticFeatures}};
  }

  int64_t size() const override { return images_->size(); }
  const DataShape& shape() const override { return shape_; }

  absl::StatusOr<Batch> Make(absl::Span<const int64_t> indices,
                             const std::optional<Augmentation>& augmentation) const override {
    SLUICE_ASSIGN_OR_RETURN(Batch batch, images_->Make(indices, augmentation));
    return TorchGuard("make a batch of features", [&] {
      const int64_t n = static_cast<int64_t>(indices.size());
      batch.inputs.push_back(at::empty({n, kSyntheticFeatures}, at::kFloat));
      float* to = batch.inputs.back().data_ptr<float>();
      const int64_t* const label = batch.targets.data_ptr<int64_t>();
      for (int64_t i = 0; i < n; ++i) {
        const auto features = SyntheticFeatures(options_, split_, indices[i], label[i]);
        to = std::copy(features.begin(), features.end(), to);
      }
      return std::move(batch);
    });
  }

 private:
  const std::unique_ptr<Dataset> images_;
  const SyntheticOptions options_;
  const Split split_;
  DataShape shape_;
};

}  // namespace

std::unique_ptr<Dataset> WithSyntheticFeatures(std::unique_ptr<Dataset> images,
                                               const SyntheticOptions& options, Split split) {
  return std::make_unique<TwoInputs>(std::move(images), options, split);
}

}  // namespace sluice
