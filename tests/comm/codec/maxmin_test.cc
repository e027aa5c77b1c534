// What the max-min quantiser promises beyond the properties of all codecs.

#include <cmath>
#include <limits>
#include <vector>

#include "comm/codec/codec.h"
#include "gtest/gtest.h"
#include "tests/comm/codec/codec_cases.h"

namespace sluice {
namespace {

class MaxMinTest : public ::testing::TestWithParam<int> {
 protected:
  CodecConfig config_{CodecKind::kMaxMin, static_cast<uint8_t>(GetParam()), 512, false};
  std::vector<float> RoundTrip(const std::vector<float>& values) {
    return DecodeRecord(config_, EncodeRecord(config_, values), values.size());
  }
};

TEST_P(MaxMinTest, AConstantBucketIsExact) {
  for (float constant : {0.1f, -3.7f, 1e-30f, 1e-42f, -1e38f}) {
    const std::vector<float> values(1500, constant);
    EXPECT_EQ(RoundTrip(values), values) << constant;
  }
}

TEST_P(MaxMinTest, ALoneElementIsExact) {
  EXPECT_EQ(RoundTrip({-0.3f}), std::vector<float>({-0.3f}));
}

TEST_P(MaxMinTest, TheMinimumIsExact) {
  std::vector<float> values = Gaussian(RandomKey(1), 512);
  values[100] = -17.3f;
  EXPECT_EQ(RoundTrip(values)[100], -17.3f);
}

TEST_P(MaxMinTest, TinyGradientsKeepTheirRelativeError) {
  // A floor on the unit would make all of these constant. Scaling by a power of two changes no
  // level.
  const std::vector<float> values = Gaussian(RandomKey(2), 512);
  const std::vector<float> expected = RoundTrip(values);
  for (int exponent : {-20, -60, -100}) {
    std::vector<float> tiny = values;
    for (float& x : tiny) x = std::ldexp(x, exponent);
    std::vector<float> decoded = RoundTrip(tiny);
    for (float& x : decoded) x = std::ldexp(x, -exponent);
    EXPECT_EQ(decoded, expected) << "scaled by 2^" << exponent;
  }
}

TEST_P(MaxMinTest, DenormalBucketsStayWithinHalfAUnit) {
  const float least = std::numeric_limits<float>::denorm_min();
  const float top = static_cast<float>((1 << GetParam()) - 1);
  for (int range : {1, 2, 3, 100, 255, 256, 350, 400, 1000, 100000}) {
    std::vector<float> values;
    for (int i = 0; i <= 40; ++i) values.push_back(least * static_cast<float>(range / 40.0 * i));
    values.push_back(least * static_cast<float>(range));
    const std::vector<float> decoded = RoundTrip(values);
    // In denormals the unit itself is rounded up to a multiple of the least one.
    const float unit = least * std::ceil(range / top);
    for (size_t i = 0; i < values.size(); ++i) {
      EXPECT_LE(std::fabs(values[i] - decoded[i]), unit / 2 + least)
          << "range " << range << ", " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Bits, MaxMinTest, ::testing::Range(1, 9));

}  // namespace
}  // namespace sluice
