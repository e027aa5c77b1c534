// Sixteen-bit casts, value by value.

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "comm/codec/codec.h"
#include "comm/codec/record_header.h"
#include "gtest/gtest.h"
#include "tests/comm/codec/codec_cases.h"

namespace sluice {
namespace {

const CodecConfig kFp16Config{CodecKind::kFp16, 0, 0, false};
const CodecConfig kBf16Config{CodecKind::kBf16, 0, 0, false};
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> RoundTrip(const CodecConfig& config, const std::vector<float>& values) {
  return DecodeRecord(config, EncodeRecord(config, values), values.size());
}

// A record that holds every sixteen-bit pattern in order.
std::vector<std::byte> AllPatterns(const CodecConfig& config) {
  std::vector<std::byte> record = EncodeRecord(config, std::vector<float>(65536));
  for (uint32_t i = 0; i < 65536; ++i) {
    const uint16_t pattern = static_cast<uint16_t>(i);
    std::memcpy(&record[kRecordHeaderBytes + 2 * i], &pattern, 2);
  }
  return record;
}

TEST(Fp16, EveryPatternDecodesToItsValue) {
  const std::vector<float> values = DecodeRecord(kFp16Config, AllPatterns(kFp16Config), 65536);
  for (int i = 0; i < 65536; ++i) {
    const int exponent = i >> 10 & 31;
    const int mantissa = i & 1023;
    const double sign = i & 0x8000 ? -1 : 1;
    if (exponent == 31 && mantissa != 0) {
      ASSERT_TRUE(std::isnan(values[i])) << i;
    } else if (exponent == 31) {
      ASSERT_EQ(values[i], sign * kInfinity) << i;
    } else {
      const double magnitude =
          exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
      ASSERT_EQ(values[i], sign * magnitude) << i;
      ASSERT_EQ(std::signbit(values[i]), sign < 0) << i;
    }
  }
}

TEST(Fp16, EveryDecodedValueEncodesBackToItsPattern) {
  const std::vector<std::byte> record = AllPatterns(kFp16Config);
  const std::vector<std::byte> again =
      EncodeRecord(kFp16Config, DecodeRecord(kFp16Config, record, 65536));
  for (uint32_t i = 0; i < 65536; ++i) {
    uint16_t pattern;
    std::memcpy(&pattern, &again[kRecordHeaderBytes + 2 * i], 2);
    const bool nan = (i & 0x7c00) == 0x7c00 && (i & 0x3ff) != 0;
    ASSERT_EQ(pattern, nan ? i | 0x200 : i) << "a NaN becomes quiet, all else stays";
  }
}

TEST(Fp16, TiesGoToEvenAndBeyondTheRangeIsInfinity) {
  EXPECT_EQ(RoundTrip(kFp16Config, {1.0f + 0x1p-11f, 1.0f + 3 * 0x1p-11f, 65519.0f, 65520.0f,
                                    -1e30f, 0x1p-25f, 0x1.8p-24f, 0x1p-26f}),
            std::vector<float>(
                {1.0f, 1.0f + 0x1p-9f, 65504.0f, kInfinity, -kInfinity, 0.0f, 0x1p-23f, 0.0f}));
}

TEST(Bf16, EveryPatternDecodesToTheUpperHalfOfAFloat) {
  const std::vector<uint32_t> bits =
      BitsOf(DecodeRecord(kBf16Config, AllPatterns(kBf16Config), 65536));
  for (uint32_t i = 0; i < 65536; ++i) ASSERT_EQ(bits[i], i << 16);
}

TEST(Bf16, TiesGoToEvenAndTheLargestFloatBecomesInfinity) {
  EXPECT_EQ(RoundTrip(kBf16Config, {1.0f + 0x1p-8f, 1.0f + 3 * 0x1p-8f, 1.0f + 0x1.1p-8f,
                                    std::numeric_limits<float>::max(), 1e-45f}),
            std::vector<float>({1.0f, 1.0f + 0x1p-6f, 1.0f + 0x1p-7f, kInfinity, 0.0f}));
}

TEST(Bf16, ANaNWhosePayloadIsInTheLowHalfStaysANaN) {
  const uint32_t bits = 0x7f800001;
  float nan;
  std::memcpy(&nan, &bits, 4);
  EXPECT_TRUE(std::isnan(RoundTrip(kBf16Config, {nan})[0]));
}

}  // namespace
}  // namespace sluice
