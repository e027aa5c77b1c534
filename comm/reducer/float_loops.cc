#include "comm/reducer/float_loops.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "base/check.h"

namespace sluice {

void Scale(float scale, absl::Span<float> x) {
  float* const out = x.data();
  const size_t size = x.size();
  for (size_t i = 0; i < size; ++i) out[i] *= scale;
}

void ScaleAndAdd(float scale, absl::Span<const float> y, absl::Span<float> x) {
  SLUICE_CHECK(x.size() == y.size(), "spans are equally long");
  const float* __restrict const in = y.data();
  float* __restrict const out = x.data();
  const size_t size = x.size();
  for (size_t i = 0; i < size; ++i) out[i] = out[i] * scale + in[i];
}

void Add(float scale, absl::Span<const float> y, absl::Span<float> x) {
  SLUICE_CHECK(x.size() == y.size(), "spans are equally long");
  const float* __restrict const in = y.data();
  float* __restrict const out = x.data();
  const size_t size = x.size();
  for (size_t i = 0; i < size; ++i) out[i] += scale * in[i];
}

void Subtract(absl::Span<const float> y, absl::Span<float> x) {
  SLUICE_CHECK(x.size() == y.size(), "spans are equally long");
  const float* __restrict const in = y.data();
  float* __restrict const out = x.data();
  const size_t size = x.size();
  for (size_t i = 0; i < size; ++i) out[i] -= in[i];
}

// The largest pattern of exponent and fraction: a loop that vectorises, and no branch in it.
bool AllFinite(absl::Span<const float> x) {
  constexpr int32_t kMagnitude = 0x7fffffff;
  constexpr int32_t kInfinity = 0x7f800000;
  const float* const in = x.data();
  const size_t size = x.size();
  int32_t largest = 0;
  for (size_t i = 0; i < size; ++i) {
    int32_t bits;
    std::memcpy(&bits, in + i, sizeof(bits));
    largest = std::max(largest, bits & kMagnitude);
  }
  return largest < kInfinity;
}

AlignedFloats::AlignedFloats(int64_t size) : size_(static_cast<size_t>(size)) {
  constexpr size_t kAlignment = 64;
  const size_t bytes = (size_ * sizeof(float) + kAlignment - 1) / kAlignment * kAlignment;
  data_.reset(static_cast<float*>(std::aligned_alloc(kAlignment, bytes)));
  SLUICE_CHECK(data_ != nullptr || bytes == 0, "there is memory for a bucket");
  std::fill_n(data_.get(), size_, 0.0f);
}

}  // namespace sluice
