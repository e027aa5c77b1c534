#include "training/gradient_norm.h"

#include <cmath>
#include <cstddef>

namespace sluice {

double SumOfSquares(absl::Span<const float> values) {
  // A product of two floats is exact in double: fused or not, the bits are the same.
  constexpr size_t kLanes = 16;
  double lanes[kLanes] = {};
  const float* const v = values.data();
  const size_t whole = values.size() / kLanes * kLanes;
  for (size_t i = 0; i < whole; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const double value = v[i + lane];
      lanes[lane] += value * value;
    }
  }
  for (size_t i = whole; i < values.size(); ++i) {
    const double value = v[i];
    lanes[i - whole] += value * value;
  }
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

double ClipToNorm(absl::Span<const absl::Span<float>> gradients, double most) {
  double squares = 0;
  for (const absl::Span<float> gradient : gradients) squares += SumOfSquares(gradient);
  const double norm = std::sqrt(squares);
  if (norm > most) {
    const auto factor = static_cast<float>(most / norm);
    for (const absl::Span<float> gradient : gradients) {
      for (float& value : gradient) value *= factor;
    }
  }
  return norm;
}

}  // namespace sluice
