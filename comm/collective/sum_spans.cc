#include "comm/collective/sum_spans.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace sluice {
namespace {

// A block of sums stays in the first-level cache while the inputs pass by.
constexpr size_t kBlock = 2048;

void Add(const float* __restrict a, const float* __restrict b, size_t size,
         float* __restrict sums) {
  for (size_t i = 0; i < size; ++i) sums[i] = a[i] + b[i];
}

void Accumulate(const float* __restrict values, size_t size, float* __restrict sums) {
  for (size_t i = 0; i < size; ++i) sums[i] += values[i];
}

}  // namespace

void AddTo(absl::Span<float> sums, absl::Span<const float> values) {
  SLUICE_CHECK(sums.size() == values.size(), "spans are equally long");
  Accumulate(values.data(), values.size(), sums.data());
}

void SumInOrder(absl::Span<const float* const> inputs, absl::Span<float> sums) {
  if (sums.empty()) return;
  if (inputs.size() == 1) {
    if (inputs[0] != sums.data()) std::memcpy(sums.data(), inputs[0], sums.size() * sizeof(float));
    return;
  }
  alignas(64) float block[kBlock];
  for (size_t begin = 0; begin < sums.size(); begin += kBlock) {
    const size_t size = std::min(kBlock, sums.size() - begin);
    Add(inputs[0] + begin, inputs[1] + begin, size, block);
    for (const float* input : inputs.subspan(2)) Accumulate(input + begin, size, block);
    std::memcpy(sums.data() + begin, block, size * sizeof(float));
  }
}

}  // namespace sluice
