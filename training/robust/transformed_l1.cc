#include "training/robust/transformed_l1.h"

#include <cmath>
#include <cstddef>

namespace sluice {
namespace {

constexpr double kSmoothing = 1e-12;  // differentiable at 0

}  // namespace

double TransformedL1(double u, double a) { return (a + 1) * u / (a + u); }

double TransformedL1Slope(double u, double a) { return a * (a + 1) / ((a + u) * (a + u)); }

double AddTransformedL1(absl::Span<const float> weights, double a, double scale,
                        absl::Span<double> gradient) {
  double magnitudes = 0, count = 0;
  for (const float w : weights) {
    if (w == 0) continue;
    magnitudes += std::abs(static_cast<double>(w));
    ++count;
  }
  if (magnitudes == 0) return 0;
  const double mean = magnitudes / count;
  double sum = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    const double w = weights[i];
    if (w == 0) continue;
    const double magnitude = std::sqrt(w * w + kSmoothing);
    sum += TransformedL1(magnitude / mean, a);
    gradient[i] += scale * TransformedL1Slope(magnitude / mean, a) / mean * (w / magnitude);
  }
  return scale * sum;
}

}  // namespace sluice
