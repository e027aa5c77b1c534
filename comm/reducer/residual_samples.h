#pragma once

#include <algorithm>
#include <cstdint>

#include "absl/types/span.h"
#include "base/random.h"
#include "comm/reducer/bucket_layout.h"

namespace sluice {

/// What a step lost of the exact mean, from a few elements of every rank's residual. Result plus the sum of all ranks'
/// residuals is the sum of their inputs, so that sum, element by element, is exactly what the result lacks: sums of
/// samples tell its norm, which norms of single residuals do not, since losses of ranks may add up or cancel.

/// How many elements of `tensor` each rank sends at the end of a window.
inline int64_t ResidualSamples(const TensorInfo& tensor) {
  return std::min<int64_t>(256, tensor.elements / 16);
}

/// The k-th of them, the same on all ranks; drawn with replacement.
inline int64_t SampledElement(int64_t window, int tensor, int64_t k, int64_t elements) {
  const RandomKey key = RandomKey(0).With("residual samples").With(static_cast<uint64_t>(window));
  return static_cast<int64_t>(
      key.With(static_cast<uint64_t>(tensor))
          .Below(static_cast<uint64_t>(k), static_cast<uint64_t>(elements)));
}

/// Estimate of the squared norm of a tensor of `elements`, without bias. \param sums  over ranks, of each sample; 0 if
/// there are none
inline double LostSquared(absl::Span<const double> sums, int64_t elements) {
  if (sums.empty()) return 0;
  double squared = 0;
  for (double sum : sums) squared += sum * sum;
  return squared * static_cast<double>(elements) / static_cast<double>(sums.size());
}

}  // namespace sluice
