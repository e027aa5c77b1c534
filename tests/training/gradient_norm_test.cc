#include "training/gradient_norm.h"

#include <cmath>
#include <vector>

#include "base/random.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

std::vector<float> Values(size_t n, uint64_t seed) {
  std::vector<float> values(n);
  for (size_t i = 0; i < n; ++i) {
    values[i] = static_cast<float>(RandomKey(seed).Bits(i) >> 40) * 0x1p-23f - 1;
  }
  return values;
}

TEST(SumOfSquares, IsTheSumForEveryLength) {
  for (size_t n : {0, 1, 15, 16, 17, 33, 1000}) {
    const std::vector<float> values = Values(n, 1);
    double expected = 0;
    for (const double value : values) expected += value * value;
    EXPECT_NEAR(SumOfSquares(values), expected, 1e-12 * (1 + expected)) << n;
  }
}

TEST(SumOfSquares, LargeValuesDoNotOverflow) {
  const std::vector<float> values(32, 1e38f);
  EXPECT_NEAR(SumOfSquares(values) / 1e76, 32, 1e-4);
}

TEST(SumOfSquares, SmallPartsOfALongVectorCount) {
  std::vector<float> values(1 << 20, 1e-4f);
  values[0] = 1000;
  EXPECT_NEAR(SumOfSquares(values) - 1e6, ((1 << 20) - 1) * 1e-8, 1e-6);
}

TEST(ClipToNorm, ALongerGradientGetsTheLengthAndKeepsItsDirection) {
  std::vector<float> a = {3, 0, 0}, b = {0, -4};
  EXPECT_DOUBLE_EQ(ClipToNorm({absl::MakeSpan(a), absl::MakeSpan(b)}, 1), 5);
  EXPECT_FLOAT_EQ(a[0], 0.6f);
  EXPECT_FLOAT_EQ(b[1], -0.8f);
  EXPECT_NEAR(std::sqrt(SumOfSquares(a) + SumOfSquares(b)), 1, 1e-6);
}

TEST(ClipToNorm, AShorterOneKeepsItsBits) {
  std::vector<float> a = Values(100, 2);
  const std::vector<float> before = a;
  const double norm = std::sqrt(SumOfSquares(a));
  EXPECT_EQ(ClipToNorm({absl::MakeSpan(a)}, norm), norm);
  EXPECT_EQ(a, before);
}

TEST(ClipToNorm, NoGradientHasNoLength) {
  std::vector<float> a(5, 0);
  EXPECT_EQ(ClipToNorm({absl::MakeSpan(a), {}}, 1), 0);
  EXPECT_EQ(a, std::vector<float>(5, 0));
}

}  // namespace
}  // namespace sluice
