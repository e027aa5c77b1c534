#pragma once

#include "absl/types/span.h"

namespace sluice {

/// (a + 1) u / (a + u): 0 at 0, increasing, concave, below a + 1. For a to 0 it counts what is not 0, for large a it is u.
/// \pre u >= 0, a > 0
double TransformedL1(double u, double a);
/// Its derivative by u.
double TransformedL1Slope(double u, double a);

/// scale times the sum of TransformedL1(sqrt(w^2 + 1e-12) / s, a) over the weights that are not 0; s, their mean
/// magnitude, counts as a constant. So what is pruned neither counts nor moves, and small weights are pushed more than
/// large ones.
/// \param gradient  of the same size; the gradient is added to it
double AddTransformedL1(absl::Span<const float> weights, double a, double scale,
                        absl::Span<double> gradient);

}  // namespace sluice
