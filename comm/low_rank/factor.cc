#include "comm/low_rank/factor.h"

#include <algorithm>

#include "base/check.h"

namespace sluice {
namespace {

constexpr size_t kLine = 16;  // floats in a cache line, and in the widest vector

size_t StrideOf(int64_t length) {
  const size_t lines = (static_cast<size_t>(length) + kLine - 1) / kLine;
  return (lines | 1) * kLine;
}

}  // namespace

Factor::Factor(int64_t length, int columns)
    : length_(length), columns_(columns), stride_(StrideOf(length)) {
  SLUICE_CHECK(length >= 1 && columns >= 0, "a factor has a length and no negative columns");
  values_.resize(stride_ * columns);
}

void Factor::Resize(int columns) {
  columns_ = columns;
  values_.resize(stride_ * columns);
}

void Factor::Assign(absl::Span<const float> packed) {
  SLUICE_CHECK(static_cast<int64_t>(packed.size()) == length_ * columns_, "not a factor's size");
  for (int k = 0; k < columns_; ++k) {
    std::copy_n(packed.data() + k * length_, length_, column(k));
  }
}

void Factor::CopyTo(absl::Span<float> packed) const {
  SLUICE_CHECK(static_cast<int64_t>(packed.size()) == length_ * columns_, "not a factor's size");
  for (int k = 0; k < columns_; ++k) {
    std::copy_n(column(k), length_, packed.data() + k * length_);
  }
}

void Factor::FillColumn(int k, RandomKey key) {
  float* values = column(k);
  for (int64_t i = 0; i < length_; ++i) {
    // Sums of four uniform integers: close to normal, exact in fp32, and no math library involved.
    const uint64_t bits = key.Bits(i);
    const int64_t sum =
        (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
    values[i] = static_cast<float>(sum - 2 * 0xffff) * 0x1p-15f;
  }
}

void Factor::ZeroColumn(int k) { std::fill_n(column(k), length_, 0.0f); }

void Factor::SetIdentity() {
  std::fill(values_.begin(), values_.end(), 0.0f);
  for (int k = 0; k < columns_; ++k) column(k)[k] = 1.0f;
}

}  // namespace sluice
