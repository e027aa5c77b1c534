#pragma once

#include "absl/types/span.h"

namespace sluice {

/// Loops built with -O3, so that they vectorise. Spans are equally long.

/// sums[i] += values[i]; the spans do not overlap.
void AddTo(absl::Span<float> sums, absl::Span<const float> values);

/// sums[i] = ((inputs[0][i] + inputs[1][i]) + inputs[2][i]) + ... in one pass over memory.
/// \param inputs  at least one; each of sums.size() values, and either `sums` itself or apart
void SumInOrder(absl::Span<const float* const> inputs, absl::Span<float> sums);

}  // namespace sluice
