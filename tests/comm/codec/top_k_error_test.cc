// SquaredErrors of top-k configs.

#include <cmath>
#include <limits>
#include <vector>

#include "comm/codec/codec_error.h"
#include "gtest/gtest.h"
#include "tests/comm/codec/codec_cases.h"
#include "tests/comm/codec/top_k_cases.h"

namespace sluice {
namespace {

// The definition: encode, decode, subtract.
double ErrorOf(const CodecConfig& config, const std::vector<float>& values) {
  const std::vector<float> decoded =
      DecodeRecord(config, EncodeRecord(config, values), values.size());
  double sum = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double error = static_cast<double>(values[i]) - decoded[i];
    sum += error * error;
  }
  return sum;
}

TEST(TopKErrors, EqualEncodingAndDecoding) {
  const std::vector<CodecConfig> codecs = TopKCodecs();
  for (int64_t n : {0, 1, 2, 9, 100, 511, 2049, 9001}) {
    for (const TopKInput& input : TopKInputs(RandomKey(1).With(n), n)) {
      const std::vector<double> errors = SquaredErrors(codecs, input.values);
      ASSERT_EQ(errors.size(), codecs.size());
      for (size_t k = 0; k < codecs.size(); ++k) {
        const double expected = ErrorOf(codecs[k], input.values);
        if (std::isinf(expected) || std::isnan(expected)) {  // beyond fp16, or fp32's range
          EXPECT_FALSE(std::isfinite(errors[k])) << ToString(codecs[k]) << ", " << input.name;
        } else {
          EXPECT_NEAR(errors[k], expected, 1e-9 * expected)
              << ToString(codecs[k]) << ", " << input.name << ", " << n << " elements";
        }
      }
    }
  }
}

TEST(TopKErrors, CountWhatAnOutlierDoesNot) {
  std::vector<float> values = Gaussian(RandomKey(2), 1000, 1e-2f);
  values[77] = -1e25f;
  const CodecConfig config = TopK(1000, 32, false);
  const double expected = ErrorOf(config, values);
  EXPECT_LT(expected, 1);
  EXPECT_NEAR(SquaredErrors({config}, values)[0], expected, 1e-9 * expected);
}

TEST(TopKErrors, OfTheSmallestDenormalsAreNotLostBesideLargerOnes) {
  std::vector<float> values(200, 1e-45f);
  values[3] = 7e-40f;
  for (bool exact : {false, true}) {
    const CodecConfig config = TopK(20000, 32, exact);
    const double expected = ErrorOf(config, values);
    EXPECT_GT(expected, 0);
    EXPECT_NEAR(SquaredErrors({config}, values)[0], expected, 1e-9 * expected);
  }
}

TEST(TopKErrors, DoNotDependOnWhatElseIsAsked) {
  const std::vector<float> values = Gaussian(RandomKey(3), 3001);
  std::vector<CodecConfig> codecs = TopKCodecs();
  codecs.insert(codecs.begin() + 5, {CodecKind::kMaxMin, 4, 512, false});
  codecs.push_back({CodecKind::kFp16, 0, 0, false});
  const std::vector<double> together = SquaredErrors(codecs, values);
  for (size_t k = 0; k < codecs.size(); ++k) {
    EXPECT_EQ(SquaredErrors({codecs[k]}, values)[0], together[k]) << ToString(codecs[k]);
  }
}

TEST(TopKErrors, AreNaNWhenAValueIsNotFinite) {
  for (float bad :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    std::vector<float> values = Gaussian(RandomKey(4), 700);
    values[600] = bad;
    for (double error : SquaredErrors(TopKCodecs(), values)) EXPECT_TRUE(std::isnan(error));
  }
}

TEST(TopKErrors, FallWithDensity) {
  const std::vector<float> values = Gaussian(RandomKey(5), 10000);
  for (bool exact : {false, true}) {
    std::vector<CodecConfig> codecs;
    for (uint32_t density_ppm = 1000; density_ppm <= 1000000; density_ppm *= 2) {
      codecs.push_back(TopK(density_ppm, 32, exact));
    }
    codecs.push_back(TopK(1000000, 32, exact));
    const std::vector<double> errors = SquaredErrors(codecs, values);
    for (size_t k = 1; k < errors.size(); ++k) EXPECT_LT(errors[k], errors[k - 1]);
    EXPECT_EQ(errors.back(), 0);
  }
}

TEST(TopKErrors, OfTheHistogramAreCloseToExactOnes) {
  const std::vector<float> values = Gaussian(RandomKey(6), 100000);
  for (uint32_t density_ppm : {1000u, 10000u, 100000u}) {
    const std::vector<double> errors =
        SquaredErrors({TopK(density_ppm, 32, true), TopK(density_ppm, 32, false)}, values);
    EXPECT_LE(errors[0], errors[1]);
    EXPECT_LE(errors[1], errors[0] * 1.001) << density_ppm;
  }
}

}  // namespace
}  // namespace sluice
