#include "training/sgd_kernel.h"

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

class SgdStepTest : public testing::TestWithParam<size_t> {};

INSTANTIATE_TEST_SUITE_P(Lengths, SgdStepTest, testing::Values(0, 1, 3, 4, 7, 64, 1001));

TEST_P(SgdStepTest, IsTheFormulaToRounding) {
  const size_t n = GetParam();
  std::vector<float> w = Values(n, 1), m = Values(n, 2);
  const std::vector<float> gradient = Values(n, 3), w0 = w, m0 = m;
  SgdStep(w.data(), gradient.data(), m.data(), n, 0.1f, 0.9f, 0.01f);
  for (size_t i = 0; i < n; ++i) {
    const double momentum = 0.9 * m0[i] + gradient[i] + 0.01 * w0[i];
    EXPECT_NEAR(m[i], momentum, 1e-6) << i;
    EXPECT_NEAR(w[i], w0[i] - 0.1 * momentum, 1e-6) << i;
  }
}

TEST_P(SgdStepTest, RoundsWhereTorchDoes) {
  const size_t n = GetParam();
  std::vector<float> w = Values(n, 1), m = Values(n, 2);
  const std::vector<float> gradient = Values(n, 3), w0 = w, m0 = m;
  SgdStep(w.data(), gradient.data(), m.data(), n, 0.1f, 0.9f, 0.01f);
  for (size_t i = 0; i < n; ++i) {
    const volatile float scaled = 0.9f * m0[i];  // volatile: rounded, never fused
    const float momentum = scaled + std::fma(w0[i], 0.01f, gradient[i]);
    EXPECT_EQ(m[i], momentum) << i;
    EXPECT_EQ(w[i], std::fma(momentum, -0.1f, w0[i])) << i;
  }
}

TEST_P(SgdStepTest, NesterovLooksOneMomentumAhead) {
  const size_t n = GetParam();
  std::vector<float> w = Values(n, 1), m = Values(n, 2);
  const std::vector<float> gradient = Values(n, 3), w0 = w, m0 = m;
  SgdStep(w.data(), gradient.data(), m.data(), n, 0.1f, 0.9f, 0.01f, /*nesterov=*/true);
  for (size_t i = 0; i < n; ++i) {
    const double g = gradient[i] + 0.01 * w0[i], momentum = 0.9 * m0[i] + g;
    EXPECT_NEAR(m[i], momentum, 1e-6) << i;
    EXPECT_NEAR(w[i], w0[i] - 0.1 * (g + 0.9 * momentum), 1e-6) << i;
  }
}

TEST_P(SgdStepTest, WithoutABufferTheGradientIsTheStep) {
  const size_t n = GetParam();
  std::vector<float> w = Values(n, 1);
  const std::vector<float> gradient = Values(n, 3), w0 = w;
  SgdStep(w.data(), gradient.data(), nullptr, n, 0.5f, 0, 0.25f);
  for (size_t i = 0; i < n; ++i) {
    EXPECT_NEAR(w[i], w0[i] - 0.5 * (gradient[i] + 0.25 * w0[i]), 1e-6) << i;
  }
}

TEST(SgdStep, ValuesBeyondTheLengthStay) {
  std::vector<float> w(9, 1), m(9, 2);
  const std::vector<float> gradient(9, 3);
  SgdStep(w.data(), gradient.data(), m.data(), 5, 1, 1, 0);
  EXPECT_EQ(w, std::vector<float>({-4, -4, -4, -4, -4, 1, 1, 1, 1}));
  EXPECT_EQ(m, std::vector<float>({5, 5, 5, 5, 5, 2, 2, 2, 2}));
}

TEST(SgdStep, BitsOfAValueDoNotDependOnWhereItLies) {
  const std::vector<float> gradient = Values(40, 3), w0 = Values(40, 1), m0 = Values(40, 2);
  std::vector<float> w = w0, m = m0;
  SgdStep(w.data(), gradient.data(), m.data(), 40, 0.1f, 0.9f, 0.01f);
  for (size_t i = 0; i < 40; ++i) {
    float one_w = w0[i], one_m = m0[i];
    SgdStep(&one_w, &gradient[i], &one_m, 1, 0.1f, 0.9f, 0.01f);
    EXPECT_EQ(one_w, w[i]) << i;
    EXPECT_EQ(one_m, m[i]) << i;
  }
}

}  // namespace
}  // namespace sluice
