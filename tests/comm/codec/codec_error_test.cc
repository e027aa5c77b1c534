#include "comm/codec/codec_error.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/comm/codec/codec_cases.h"

namespace sluice {
namespace {

// The definition: encode, decode, subtract.
double ErrorOf(const CodecConfig& config, const std::vector<float>& values, RandomKey key) {
  const std::vector<float> decoded =
      DecodeRecord(config, EncodeRecord(config, values, key), values.size());
  double sum = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double error = static_cast<double>(values[i]) - decoded[i];
    sum += error * error;
  }
  return sum;
}

std::vector<CodecConfig> Nearest() {
  std::vector<CodecConfig> codecs;
  for (CodecConfig config : AllCodecs()) {
    config.stochastic = false;
    codecs.push_back(config);
  }
  return codecs;
}

TEST(SquaredErrors, EqualEncodingAndDecoding) {
  const std::vector<CodecConfig> codecs = Nearest();
  for (float scale : {1.0f, 1e-4f, 1e-25f, 1e-42f, 1e4f}) {
    for (float shift : {0.0f, 3.0f}) {
      for (int64_t n : InterestingSizes()) {
        std::vector<float> values = Gaussian(RandomKey(1).With(n), n, scale);
        for (float& x : values) x += shift * scale * 1000;
        const std::vector<double> errors = SquaredErrors(codecs, values);
        ASSERT_EQ(errors.size(), codecs.size());
        for (size_t k = 0; k < codecs.size(); ++k) {
          const double expected = ErrorOf(codecs[k], values, RandomKey(2));
          if (std::isinf(expected)) {  // beyond fp16
            EXPECT_EQ(errors[k], expected) << ToString(codecs[k]);
          } else {
            EXPECT_NEAR(errors[k], expected, 1e-5 * expected)
                << ToString(codecs[k]) << ", " << n << " elements around " << shift << " * 1000 by "
                << scale;
          }
        }
      }
    }
  }
}

TEST(SquaredErrors, CountWhatAnOutlierWipesOut) {
  // The outlier is exact and takes the whole scale; all the rest becomes zero.
  std::vector<float> values = Gaussian(RandomKey(9), 512, 1e-2f);
  for (float outlier : {1e10f, -1e25f, 7e35f}) {
    values[77] = outlier;
    for (const CodecConfig& config : Nearest()) {
      const double expected = ErrorOf(config, values, RandomKey(2));
      if (std::isinf(expected)) continue;  // beyond fp16
      EXPECT_NEAR(SquaredErrors({config}, values)[0], expected, 1e-5 * expected)
          << ToString(config) << " with " << outlier;
    }
  }
}

TEST(SquaredErrors, OfStochasticRoundingAreTheMeanOverKeys) {
  const std::vector<float> values = Gaussian(RandomKey(3), 2000);
  for (const CodecConfig& config : AllCodecs()) {
    if (!config.stochastic) continue;
    constexpr int kDraws = 60;
    double mean = 0;
    double mean_square = 0;
    for (int draw = 0; draw < kDraws; ++draw) {
      const double error = ErrorOf(config, values, RandomKey(4).With(draw));
      mean += error / kDraws;
      mean_square += error * error / kDraws;
    }
    const double deviation = std::sqrt(std::max(0.0, mean_square - mean * mean) / kDraws);
    EXPECT_NEAR(SquaredErrors({config}, values)[0], mean, 6 * deviation + 1e-4 * mean)
        << ToString(config);
  }
}

TEST(SquaredErrors, DoNotDependOnWhatElseIsAsked) {
  const std::vector<float> values = Gaussian(RandomKey(5), 3001);
  const std::vector<CodecConfig> codecs = AllCodecs();
  const std::vector<double> together = SquaredErrors(codecs, values);
  for (size_t k = 0; k < codecs.size(); ++k) {
    EXPECT_EQ(SquaredErrors({codecs[k]}, values)[0], together[k]) << ToString(codecs[k]);
  }
}

TEST(SquaredErrors, AreNaNForLossyCodecsWhenAValueIsNotFinite) {
  for (float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> values = Gaussian(RandomKey(6), 700);
    values[600] = bad;
    const std::vector<CodecConfig> codecs = AllCodecs();
    const std::vector<double> errors = SquaredErrors(codecs, values);
    for (size_t k = 0; k < codecs.size(); ++k) {
      if (IsLossless(codecs[k])) {
        EXPECT_EQ(errors[k], 0) << ToString(codecs[k]);
      } else {
        EXPECT_TRUE(std::isnan(errors[k])) << ToString(codecs[k]);
      }
    }
  }
}

TEST(SquaredErrors, FallWithMoreBits) {
  const std::vector<float> values = Gaussian(RandomKey(7), 10000);
  for (CodecKind kind : {CodecKind::kMaxMin, CodecKind::kL2Norm, CodecKind::kClipped}) {
    const uint8_t most = kind == CodecKind::kClipped ? 4 : 8;
    std::vector<CodecConfig> codecs;
    for (uint8_t bits = 2; bits <= most; ++bits) codecs.push_back({kind, bits, 512, false});
    const std::vector<double> errors = SquaredErrors(codecs, values);
    for (size_t k = 1; k < errors.size(); ++k) EXPECT_LT(errors[k], errors[k - 1]);
  }
}

TEST(SquaredErrors, OfNothingAreZero) {
  const std::vector<CodecConfig> codecs = AllCodecs();
  EXPECT_EQ(SquaredErrors(codecs, {}), std::vector<double>(codecs.size(), 0.0));
  EXPECT_TRUE(SquaredErrors({}, Gaussian(RandomKey(8), 10)).empty());
}

}  // namespace
}  // namespace sluice
