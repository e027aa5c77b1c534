#include "training/robust/transformed_l1.h"

#include <cmath>
#include <vector>

#include "gtest/gtest.h"
#include "tests/training/robust/test_matrices.h"

namespace sluice {
namespace {

TEST(TransformedL1, HasThePublishedValuesAndSlopes) {
  for (const auto& one : TscncVectors()["transformed_l1"]) {
    EXPECT_NEAR(TransformedL1(one["x"], one["a"]), one["rho"], 1e-9);
    const double slope = one["d_rho"];
    EXPECT_NEAR(TransformedL1Slope(one["x"], one["a"]), slope, 1e-9 * (1 + slope));
  }
}

TEST(TransformedL1, ThePenaltysGradientIsThatOfAFixedScale) {
  const std::vector<float> w = {0.5f, -0.25f, 0, 1.5f};
  std::vector<double> gradient(w.size());
  const double value = AddTransformedL1(w, 1, 0.1, absl::MakeSpan(gradient));
  const double mean = 2.25 / 3;
  double expected = 0;
  for (size_t i = 0; i < w.size(); ++i) {
    const double u = std::abs(w[i]) / mean;
    expected += 0.1 * TransformedL1(u, 1);
    const double sign = (w[i] > 0) - (w[i] < 0);
    EXPECT_NEAR(gradient[i], 0.1 * TransformedL1Slope(u, 1) / mean * sign, 1e-9) << i;
  }
  EXPECT_NEAR(value, expected, 1e-9);
}

TEST(TransformedL1, SmallWeightsArePushedMoreThanLargeOnes) {
  const std::vector<float> w = {0.1f, 2.0f};
  std::vector<double> gradient(w.size());
  AddTransformedL1(w, 1, 1, absl::MakeSpan(gradient));
  EXPECT_GT(gradient[0], 4 * gradient[1]);
}

TEST(TransformedL1, ThePenaltyOfZerosIsZero) {
  const std::vector<float> w(5, 0);
  std::vector<double> gradient(5, 7);
  EXPECT_EQ(AddTransformedL1(w, 1, 1, absl::MakeSpan(gradient)), 0);
  EXPECT_EQ(gradient, std::vector<double>(5, 7));
}

}  // namespace
}  // namespace sluice
