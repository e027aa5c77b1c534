#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "base/random.h"

namespace sluice {

/// A thin length x columns matrix, each column contiguous.
///
/// Columns start `stride` floats apart, an odd number of cache lines, so that walking all columns at
/// once does not hit one set of the cache; what lies between them is zero, so that kernels may read
/// whole vectors past a column's end.
class Factor {
 public:
  /// All zeros. \pre length >= 1, columns >= 0
  Factor(int64_t length, int columns);

  int64_t length() const { return length_; }
  int columns() const { return columns_; }
  size_t stride() const { return stride_; }

  float* data() { return values_.data(); }
  const float* data() const { return values_.data(); }
  float* column(int k) { return values_.data() + k * stride_; }
  const float* column(int k) const { return values_.data() + k * stride_; }

  /// Keeps the first columns; new ones are zero. May allocate.
  void Resize(int columns);

  /// From and to packed columns. \pre packed.size() == length() * columns()
  void Assign(absl::Span<const float> packed);
  void CopyTo(absl::Span<float> packed) const;

  /// Fills a column with random numbers of zero mean, about normal; every machine draws the same.
  void FillColumn(int k, RandomKey key);

  void ZeroColumn(int k);

  /// Columns of the identity. \pre columns() <= length()
  void SetIdentity();

 private:
  int64_t length_;
  int columns_;
  size_t stride_;
  std::vector<float> values_;
};

}  // namespace sluice
