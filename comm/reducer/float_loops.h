#pragma once

#include <cstdlib>
#include <memory>

#include "absl/types/span.h"

namespace sluice {

/// Plain loops over equally long, non-overlapping spans; built with -O3 so that they vectorise.

/// x = x * scale
void Scale(float scale, absl::Span<float> x);
/// x = x * scale + y
void ScaleAndAdd(float scale, absl::Span<const float> y, absl::Span<float> x);
/// x = x + scale * y
void Add(float scale, absl::Span<const float> y, absl::Span<float> x);
/// x = x - y
void Subtract(absl::Span<const float> y, absl::Span<float> x);

/// Whether no element is NaN or an infinity.
bool AllFinite(absl::Span<const float> x);

/// Zeros, 64-byte aligned; never moves and never grows. Empty by default.
class AlignedFloats {
 public:
  AlignedFloats() = default;
  explicit AlignedFloats(int64_t size);
  absl::Span<float> span() { return {data_.get(), size_}; }
  absl::Span<const float> span() const { return {data_.get(), size_}; }

 private:
  struct Free {
    void operator()(float* data) const { std::free(data); }
  };
  std::unique_ptr<float[], Free> data_;
  size_t size_ = 0;
};

}  // namespace sluice
