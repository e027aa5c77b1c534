#pragma once

#include <vector>

#include "absl/types/span.h"

namespace sluice {

/// Sum of squares in double, added in an order that depends on the length alone: the same bits on every
/// processor and with any number of threads, so that ranks that hold the same values stay equal.
double SumOfSquares(absl::Span<const float> values);

/// The l2 norm over all gradients, in their order. If it is above `most`, they are multiplied by most / norm.
/// \param most  above 0
/// \return the norm before
/// Source: Pascanu et al., 2013, "On the difficulty of training recurrent neural networks".
double ClipToNorm(absl::Span<const absl::Span<float>> gradients, double most);

}  // namespace sluice
