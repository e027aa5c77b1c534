#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "absl/types/span.h"
#include "models/data/image_set.h"

namespace sluice {

/// What a network trains on in one step.
struct ImageBatch {
  at::Tensor images;  ///< n x 1 x height x width, fp32, normalised by the set's mean and deviation
  at::Tensor labels;  ///< n, int64
};

/// Copies and normalises the samples of `indices`, in their order.
/// \pre every index is in [0, set.count)
/// \threadsafety any thread
ImageBatch MakeImageBatch(const ImageSet& set, absl::Span<const int64_t> indices);

}  // namespace sluice
