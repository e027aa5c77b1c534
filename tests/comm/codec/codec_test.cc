// What holds for every codec.

#include "comm/codec/codec.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/comm/codec/codec_cases.h"

namespace sluice {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// The levels of a bucket with one scale: their distance, and the outermost, where values clip.
struct Grid {
  double step = 0;
  double largest = 0;
};

Grid GridOf(const CodecConfig& config, absl::Span<const float> bucket) {
  double sum = 0, squares = 0;
  for (float x : bucket) {
    sum += std::fabs(x);
    squares += static_cast<double>(x) * x;
  }
  const double mean = sum / bucket.size();
  const double rms = std::sqrt(squares / bucket.size());
  if (config.kind == CodecKind::kSign) return {2 * mean, mean};
  if (config.kind == CodecKind::kTernary) return {1.224 * rms, 1.224 * rms};
  const double step = rms * std::vector<double>{1.596, 0.9957, 0.586, 0.3352}[config.bits - 1];
  return {step, ((1 << config.bits) - 1) * step / 2};
}

// Largest |x - decoded| that the codec allows, by element.
std::vector<double> ErrorBounds(const CodecConfig& config, const std::vector<float>& values) {
  std::vector<double> bounds(values.size(), 0.0);
  if (config.bucket_size == 0) {
    for (size_t i = 0; i < values.size(); ++i) {
      const double x = std::fabs(values[i]);
      if (config.kind == CodecKind::kFp16) bounds[i] = std::max(x * 0x1p-11, 0x1p-25);
      if (config.kind == CodecKind::kBf16) bounds[i] = x * 0x1p-8;
      if (config.kind == CodecKind::kDrop) bounds[i] = x;
    }
    return bounds;
  }
  for (size_t begin = 0; begin < values.size(); begin += config.bucket_size) {
    const size_t end = std::min(values.size(), begin + config.bucket_size);
    if (config.kind >= CodecKind::kSign) {
      const Grid grid = GridOf(config, absl::MakeSpan(values).subspan(begin, end - begin));
      for (size_t i = begin; i < end; ++i) {
        const double x = std::fabs(static_cast<double>(values[i]));
        bounds[i] = std::max(grid.step / 2, x - grid.largest) * (1 + 1e-5);
      }
      continue;
    }
    double min = values[begin], max = values[begin], squares = 0;
    for (size_t i = begin; i < end; ++i) {
      min = std::min<double>(min, values[i]);
      max = std::max<double>(max, values[i]);
      squares += static_cast<double>(values[i]) * values[i];
    }
    const double step = config.kind == CodecKind::kMaxMin
                            ? (max - min) / ((1 << config.bits) - 1)
                            : std::sqrt(squares) / ((1 << (config.bits - 1)) - 1);
    // Rounding of unit, position and value in fp32 comes on top.
    const double largest = std::max(std::fabs(min), std::fabs(max)) + std::sqrt(squares) * 0x1p-4;
    const double bound = step * (config.stochastic ? 1.0 : 0.5) * (1 + 1e-4) + largest * 0x1p-22;
    std::fill(bounds.begin() + begin, bounds.begin() + end, bound);
  }
  return bounds;
}

class CodecTest : public ::testing::TestWithParam<CodecConfig> {};

TEST_P(CodecTest, DecodeInvertsEncodeWithinTheBound) {
  for (int64_t n : InterestingSizes()) {
    for (float scale : {1.0f, 1e-3f, 50.0f}) {
      const std::vector<float> values = Gaussian(RandomKey(1).With(n), n, scale);
      const std::vector<float> decoded =
          DecodeRecord(GetParam(), EncodeRecord(GetParam(), values), n);
      const std::vector<double> bounds = ErrorBounds(GetParam(), values);
      for (int64_t i = 0; i < n; ++i) {
        ASSERT_LE(std::fabs(static_cast<double>(values[i]) - decoded[i]), bounds[i])
            << "element " << i << " of " << n << ": " << values[i] << " became " << decoded[i];
      }
    }
  }
}

TEST_P(CodecTest, AddAndSubtractUseTheAssignedValuesBitForBit) {
  for (int64_t n : InterestingSizes()) {
    const std::vector<float> values = Gaussian(RandomKey(2).With(n), n);
    const std::vector<std::byte> record = EncodeRecord(GetParam(), values);
    const std::vector<float> decoded = DecodeRecord(GetParam(), record, n);
    const std::vector<float> before = Gaussian(RandomKey(3).With(n), n, 3.0f);
    std::vector<float> added = before;
    std::vector<float> subtracted = before;
    ASSERT_TRUE(Decode(GetParam(), record, DecodeMode::kAdd, absl::MakeSpan(added)).ok());
    ASSERT_TRUE(Decode(GetParam(), record, DecodeMode::kSubtract, absl::MakeSpan(subtracted)).ok());
    std::vector<float> sum(n);
    std::vector<float> difference(n);
    for (int64_t i = 0; i < n; ++i) {
      sum[i] = before[i] + decoded[i];
      difference[i] = before[i] - decoded[i];
    }
    ASSERT_EQ(BitsOf(added), BitsOf(sum)) << n << " elements";
    ASSERT_EQ(BitsOf(subtracted), BitsOf(difference)) << n << " elements";
  }
}

TEST_P(CodecTest, EncodingTwiceGivesTheSameBytes) {
  for (int64_t n : InterestingSizes()) {
    const std::vector<float> values = Gaussian(RandomKey(4).With(n), n);
    // The buffers start with different bytes: every byte of a record is written.
    std::vector<std::byte> first(EncodedBytes(GetParam(), n), std::byte{0x00});
    std::vector<std::byte> second(EncodedBytes(GetParam(), n), std::byte{0xff});
    Encode(GetParam(), values, RandomKey(5), absl::MakeSpan(first));
    Encode(GetParam(), values, RandomKey(5), absl::MakeSpan(second));
    ASSERT_EQ(first, second) << n << " elements";
  }
}

TEST_P(CodecTest, RecordsAreAMultipleOfFourBytes) {
  for (int64_t n : InterestingSizes()) EXPECT_EQ(EncodedBytes(GetParam(), n) % 4, 0u) << n;
}

TEST_P(CodecTest, BuffersMayLieAtAnyAddress) {
  const std::vector<float> values = Gaussian(RandomKey(6), 777);
  const std::vector<std::byte> aligned = EncodeRecord(GetParam(), values);
  for (size_t shift = 1; shift < 8; ++shift) {
    std::vector<std::byte> room(aligned.size() + shift);
    const absl::Span<std::byte> record = absl::MakeSpan(room).subspan(shift);
    Encode(GetParam(), values, RandomKey(7), record);
    ASSERT_TRUE(std::equal(aligned.begin(), aligned.end(), record.begin())) << shift;
    std::vector<float> decoded(values.size());
    ASSERT_TRUE(Decode(GetParam(), record, DecodeMode::kAssign, absl::MakeSpan(decoded)).ok());
    ASSERT_EQ(BitsOf(decoded), BitsOf(DecodeRecord(GetParam(), aligned, values.size()))) << shift;
  }
}

TEST_P(CodecTest, ZerosDecodeToZeros) {
  const std::vector<float> zeros(1000, 0.0f);
  const std::vector<float> decoded =
      DecodeRecord(GetParam(), EncodeRecord(GetParam(), zeros), 1000);
  EXPECT_EQ(decoded, zeros);
}

TEST_P(CodecTest, NaNAndInfinityStayVisible) {
  if (GetParam().kind == CodecKind::kDrop) return;  // sends nothing, whatever the values
  for (float bad : {kNaN, -kNaN, kInfinity, -kInfinity}) {
    for (int64_t n : {1, 8, 9, 513, 4097}) {
      for (int64_t at : {int64_t{0}, n / 2, n - 1}) {
        std::vector<float> values = Gaussian(RandomKey(8).With(n), n);
        values[at] = bad;
        const std::vector<float> decoded =
            DecodeRecord(GetParam(), EncodeRecord(GetParam(), values), n);
        EXPECT_FALSE(std::isfinite(decoded[at])) << bad << " at " << at << " of " << n;
        for (int64_t i = 0; i < n; ++i) {
          const bool shares_scale = GetParam().bucket_size == 0
                                        ? i == at
                                        : i / GetParam().bucket_size == at / GetParam().bucket_size;
          ASSERT_EQ(std::isfinite(decoded[i]), !shares_scale) << bad << " at " << at << ", " << i;
        }
      }
    }
  }
}

TEST_P(CodecTest, HugeValuesDoNotPassForOrdinaryOnes) {
  const float huge = std::numeric_limits<float>::max();
  const std::vector<float> values = {huge, -huge, huge, huge, -huge, 1.0f, 0.0f, -1.0f};
  const std::vector<float> decoded = DecodeRecord(GetParam(), EncodeRecord(GetParam(), values), 8);
  if (GetParam().kind == CodecKind::kDrop) {
    EXPECT_EQ(decoded[0], 0);
  } else if (GetParam().kind >= CodecKind::kSign) {  // a coarse grid, but one as huge
    EXPECT_TRUE(!std::isfinite(decoded[0]) || decoded[0] >= huge / 4) << decoded[0];
  } else {
    EXPECT_TRUE(!std::isfinite(decoded[0]) || decoded[0] == huge) << decoded[0];
  }
}

TEST_P(CodecTest, SentPlusResidualIsTheInput) {
  // Error feedback over 200 steps in which the codec keeps changing, this one taking every second
  // turn.
  const std::vector<CodecConfig> codecs = AllCodecs();
  const int64_t n = 140;
  std::vector<float> residual(n, 0.0f);
  std::vector<double> input_sum(n, 0.0);
  std::vector<double> sent_sum(n, 0.0);
  for (uint64_t step = 0; step < 200; ++step) {
    const RandomKey key = RandomKey(9).With(step);
    const CodecConfig config = step % 2 == 0 ? GetParam() : codecs[key.Below(0, codecs.size())];
    const std::vector<float> gradient = Gaussian(key.With(1), n, 0.01f);
    std::vector<float> x(n);
    for (int64_t i = 0; i < n; ++i) {
      input_sum[i] += gradient[i];
      x[i] = gradient[i] + residual[i];
    }
    const std::vector<std::byte> record = EncodeRecord(config, x, key.With(2));
    const std::vector<float> sent = DecodeRecord(config, record, n);
    for (int64_t i = 0; i < n; ++i) sent_sum[i] += sent[i];
    residual = x;
    ASSERT_TRUE(Decode(config, record, DecodeMode::kSubtract, absl::MakeSpan(residual)).ok());
  }
  for (int64_t i = 0; i < n; ++i) {
    // Each step rounds x and the residual once; 1-bit buckets let both grow beyond the gradient.
    const double tolerance = 200 * 0x1p-23 * (std::fabs(residual[i]) + 1.0);
    EXPECT_NEAR(sent_sum[i] + residual[i], input_sum[i], tolerance) << "element " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(AllCodecs, CodecTest, ::testing::ValuesIn(AllCodecs()),
                         [](const auto& info) { return TestName(info.param); });

}  // namespace
}  // namespace sluice
