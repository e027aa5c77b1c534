// What the codecs of few bits promise beyond the properties of all codecs: kSign, kClipped,
// kTernary and kDrop.

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "comm/codec/codec.h"
#include "comm/codec/codec_error.h"
#include "comm/codec/record_header.h"
#include "gtest/gtest.h"
#include "tests/comm/codec/codec_cases.h"

namespace sluice {
namespace {

const CodecConfig kSignConfig{CodecKind::kSign, 1, 512, false};
const CodecConfig kTernaryConfig{CodecKind::kTernary, 2, 512, false};

CodecConfig ClippedConfig(int bits) {
  return {CodecKind::kClipped, static_cast<uint8_t>(bits), 512, false};
}

std::vector<float> RoundTrip(const CodecConfig& config, const std::vector<float>& values) {
  return DecodeRecord(config, EncodeRecord(config, values), values.size());
}

// ||x - decode(encode(x))|| / ||x||; 1 is what sending nothing costs.
double RelativeError(const CodecConfig& config, const std::vector<float>& values) {
  const std::vector<double> errors = SquaredErrors({config, {CodecKind::kDrop}}, values);
  return std::sqrt(errors[0] / errors[1]);
}

// A normal value times another to the third: far tails.
std::vector<float> HeavyTailed(uint64_t seed, int64_t n) {
  std::vector<float> values = Gaussian(RandomKey(seed), n);
  const std::vector<float> factors = Gaussian(RandomKey(seed + 1), n);
  for (int64_t i = 0; i < n; ++i) values[i] *= factors[i] * factors[i] * factors[i];
  return values;
}

// All but every `period`-th value are zero.
std::vector<float> Sparse(uint64_t seed, int64_t n, int64_t period) {
  std::vector<float> values = Gaussian(RandomKey(seed), n);
  for (int64_t i = 0; i < n; ++i) {
    if (i % period != 0) values[i] = 0;
  }
  return values;
}

struct NormalError {
  CodecConfig config;
  double at_least;
  double at_most;
};

class NormalErrorTest : public ::testing::TestWithParam<NormalError> {};

TEST_P(NormalErrorTest, OnNormalValuesIsTheKnownOptimum) {
  const auto& [config, at_least, at_most] = GetParam();
  for (float scale : {1.0f, 1e-6f, 1e-30f, 1e20f}) {
    const double error = RelativeError(config, Gaussian(RandomKey(1), 100000, scale));
    EXPECT_GE(error, at_least) << scale;
    EXPECT_LE(error, at_most) << scale;
  }
}

// Max 1960, table 2: squared errors of 0.3634, 0.1188, 0.03744 and 0.01154.
INSTANTIATE_TEST_SUITE_P(LowBits, NormalErrorTest,
                         ::testing::Values(NormalError{kSignConfig, 0.59, 0.61},
                                           NormalError{ClippedConfig(1), 0.59, 0.61},
                                           NormalError{kTernaryConfig, 0.42, 0.45},
                                           NormalError{ClippedConfig(2), 0.33, 0.36},
                                           NormalError{ClippedConfig(3), 0.185, 0.20},
                                           NormalError{ClippedConfig(4), 0.10, 0.115}),
                         [](const auto& info) { return TestName(info.param.config); });

TEST(LowBits, MaxMinOfOneBitIsWorseThanNothingWhereTheseAreNot) {
  const std::vector<float> values = Gaussian(RandomKey(1), 100000);
  EXPECT_GT(RelativeError({CodecKind::kMaxMin, 1, 512, false}, values), 1.5);
  EXPECT_EQ(RelativeError({CodecKind::kDrop}, values), 1.0);
}

class ContractionTest : public ::testing::TestWithParam<CodecConfig> {};

TEST_P(ContractionTest, TheErrorIsBelowOneOnAnyValues) {
  const std::vector<std::vector<float>> inputs = {Gaussian(RandomKey(2), 20000, 1e-3f),
                                                  HeavyTailed(3, 20000),
                                                  Sparse(5, 20000, 10),
                                                  Sparse(6, 20000, 512),
                                                  std::vector<float>{7.0f},
                                                  {1, 1, 1, -1e-3f}};
  for (size_t i = 0; i < inputs.size(); ++i) {
    EXPECT_LT(RelativeError(GetParam(), inputs[i]), 1.0) << "input " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(LowBits, ContractionTest,
                         ::testing::Values(kSignConfig, kTernaryConfig,
                                           CodecConfig{CodecKind::kSign, 1, 65536, false},
                                           CodecConfig{CodecKind::kTernary, 2, 65536, false}),
                         [](const auto& info) { return TestName(info.param); });

TEST(Clipped, IsAContractionOnModeratelyHeavyTails) {
  std::vector<float> values = Gaussian(RandomKey(10), 20480);
  const std::vector<float> factors = Gaussian(RandomKey(11), 20480);
  for (size_t i = 0; i < values.size(); ++i) values[i] *= factors[i];  // a kurtosis of 9
  for (int bits = 1; bits <= 4; ++bits) EXPECT_LT(RelativeError(ClippedConfig(bits), values), 0.85);
}

TEST(Clipped, IsNoContractionWhereAlmostAllIsNearZero) {
  // Its grid has no zero, so that each small value costs half a step: SquaredErrors tells.
  EXPECT_GT(RelativeError(ClippedConfig(1), Sparse(6, 20480, 512)), 1.0);
  EXPECT_GT(RelativeError(ClippedConfig(1), HeavyTailed(3, 20480)), 1.0);
}

TEST(LowBits, ErrorFeedbackKeepsTheResidualBounded) {
  for (const CodecConfig& config :
       {kSignConfig, kTernaryConfig, ClippedConfig(1), ClippedConfig(2)}) {
    std::vector<float> residual(2048, 0.0f);
    for (uint64_t step = 0; step < 300; ++step) {
      const std::vector<float> gradient = Gaussian(RandomKey(8).With(step), 2048);
      for (size_t i = 0; i < residual.size(); ++i) residual[i] += gradient[i];
      const std::vector<std::byte> record = EncodeRecord(config, residual);
      ASSERT_TRUE(Decode(config, record, DecodeMode::kSubtract, absl::MakeSpan(residual)).ok());
    }
    double squares = 0;
    for (float x : residual) squares += static_cast<double>(x) * x;
    // Independent gradients of variance 1: the residual's is d / (1 - d) for a squared error d.
    EXPECT_LT(squares / 2048, 1.5) << ToString(config);
  }
}

TEST(Sign, ValuesBecomeTheMeanMagnitudeAndZerosGoByTheirSignBit) {
  EXPECT_EQ(RoundTrip(kSignConfig, {1.0f, -2.0f, 0.0f, -0.0f, 5.0f, -4.0f, 3.0f, 1.0f}),
            std::vector<float>({2, -2, 2, -2, 2, -2, 2, 2}));
}

TEST(Sign, ABucketOfOneMagnitudeIsExact) {
  const std::vector<float> values = {0.3f, -0.3f, -0.3f, 0.3f};
  EXPECT_EQ(RoundTrip(kSignConfig, values), values);
}

TEST(Ternary, ZerosStayExactlyZero) {
  const std::vector<float> values = Sparse(7, 4000, 3);
  const std::vector<uint32_t> decoded = BitsOf(RoundTrip(kTernaryConfig, values));
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] == 0) {
      ASSERT_EQ(decoded[i], 0u) << i;
    }
  }
  EXPECT_EQ(BitsOf(RoundTrip(kTernaryConfig, {-0.0f, 1.0f}))[0], 0u) << "a negative zero too";
}

TEST(Ternary, ValuesGoToTheNearestOfThreeLevels) {
  // An rms of 1 puts the levels at 1.224 and the borders at 0.612.
  const std::vector<float> decoded =
      RoundTrip(kTernaryConfig, {0.60f, -0.60f, 0.62f, -0.62f, 1.9239f, -0.9f});
  const float scale = decoded[2];
  EXPECT_NEAR(scale, 1.224, 1e-3);
  EXPECT_EQ(decoded, std::vector<float>({0, 0, scale, -scale, scale, -scale}));
}

TEST(Clipped, LevelsAreOddMultiplesOfHalfAStepAndFarValuesClip) {
  // An rms of 1, so that the step of 2 bits is 0.9957.
  const std::vector<float> decoded =
      RoundTrip(ClippedConfig(2), {0.1f, -0.99f, 1.0f, 2.23828f, 0.0f, -0.0f, -1.0f, 0.0f});
  const float step = 2 * decoded[0];
  EXPECT_NEAR(step, 0.9957, 5e-3);
  EXPECT_EQ(decoded, std::vector<float>({step / 2, -step / 2, 1.5f * step, 1.5f * step, step / 2,
                                         -step / 2, -1.5f * step, step / 2}));
}

TEST(Clipped, AScaleByAPowerOfTwoChangesNoCode) {
  for (int bits = 1; bits <= 4; ++bits) {
    const std::vector<float> values = Gaussian(RandomKey(9), 512);
    const std::vector<float> expected = RoundTrip(ClippedConfig(bits), values);
    for (int exponent : {-100, -60, 60, 100}) {
      std::vector<float> scaled = values;
      for (float& x : scaled) x = std::ldexp(x, exponent);
      std::vector<float> decoded = RoundTrip(ClippedConfig(bits), scaled);
      for (float& x : decoded) x = std::ldexp(x, -exponent);
      EXPECT_EQ(decoded, expected) << bits << " bits, scaled by 2^" << exponent;
    }
  }
}

TEST(Clipped, ALevelBeyondFp32MakesTheBucketNaN) {
  const std::vector<float> values(8, std::numeric_limits<float>::max());
  for (float x : RoundTrip(ClippedConfig(2), values)) EXPECT_TRUE(std::isnan(x));
}

TEST(Drop, IsAHeaderAloneAndDecodesToZeros) {
  const CodecConfig config{CodecKind::kDrop};
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> values = {1, -2, nan, std::numeric_limits<float>::infinity()};
  EXPECT_EQ(EncodedBytes(config, 1 << 20), kRecordHeaderBytes);
  EXPECT_EQ(BitsOf(RoundTrip(config, values)), std::vector<uint32_t>(4, 0u));
}

TEST(Drop, AddingAndSubtractingChangeNoBit) {
  const CodecConfig config{CodecKind::kDrop};
  const std::vector<std::byte> record = EncodeRecord(config, {1, 2, 3});
  const std::vector<float> before = {-0.0f, std::numeric_limits<float>::quiet_NaN(), 4.0f};
  for (DecodeMode mode : {DecodeMode::kAdd, DecodeMode::kSubtract}) {
    std::vector<float> out = before;
    ASSERT_TRUE(Decode(config, record, mode, absl::MakeSpan(out)).ok());
    EXPECT_EQ(BitsOf(out), BitsOf(before));
  }
}

}  // namespace
}  // namespace sluice
