// What holds for the top-k codec.

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "comm/codec/codec.h"
#include "comm/codec/record_header.h"
#include "gtest/gtest.h"
#include "tests/comm/codec/codec_cases.h"
#include "tests/comm/codec/top_k_cases.h"

namespace sluice {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

double Energy(const std::vector<float>& values) {
  double sum = 0;
  for (float x : values) sum += static_cast<double>(x) * x;
  return sum;
}

double EnergyOfError(const std::vector<float>& values, const std::vector<float>& decoded) {
  double sum = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double error = static_cast<double>(values[i]) - decoded[i];
    sum += error * error;
  }
  return sum;
}

std::vector<float> RoundTrip(const CodecConfig& config, const std::vector<float>& values) {
  return DecodeRecord(config, EncodeRecord(config, values), values.size());
}

class TopKTest : public ::testing::TestWithParam<CodecConfig> {};

TEST_P(TopKTest, DecodesToTheLargestValuesAndZeroElsewhere) {
  for (int64_t n : TopKSizes()) {
    for (const TopKInput& input : TopKInputs(RandomKey(1).With(n), n)) {
      const std::vector<float> decoded = RoundTrip(GetParam(), input.values);
      const std::vector<uint32_t> places = ReferencePlaces(GetParam(), input.values);
      std::vector<float> kept;
      for (uint32_t place : places) kept.push_back(input.values[place]);
      // Each kind of value rounds as the codec that it borrows does.
      const double range = kept.empty()
                               ? 0
                               : static_cast<double>(*std::max_element(kept.begin(), kept.end())) -
                                     *std::min_element(kept.begin(), kept.end());
      std::vector<float> rest = decoded;
      for (uint32_t place : places) {
        const double x = input.values[place];
        const double error = std::fabs(decoded[place] - x);
        rest[place] = 0;
        if (GetParam().bits == 32) {
          ASSERT_EQ(error, 0) << input.name << " " << n;
        } else if (GetParam().bits == 16) {
          if (std::isinf(decoded[place])) {
            ASSERT_GE(std::fabs(x), 65520) << input.name << " " << n;
          } else {
            ASSERT_LE(error, std::max(std::fabs(x) * 0x1p-11, 0x1p-25)) << input.name << " " << n;
          }
        } else {
          const double step = range / ((1 << GetParam().bits) - 1);
          ASSERT_LE(error, step * 0.501 + std::fabs(x) * 0x1p-20 + range * 0x1p-22 + 0x1p-148)
              << input.name << " " << n;
        }
      }
      ASSERT_EQ(BitsOf(rest), std::vector<uint32_t>(n, 0)) << input.name << " " << n;
    }
  }
}

TEST_P(TopKTest, AddAndSubtractLeaveOtherElementsBitForBit) {
  for (int64_t n : TopKSizes()) {
    const std::vector<float> values = Gaussian(RandomKey(2).With(n), n);
    const std::vector<std::byte> record = EncodeRecord(GetParam(), values);
    const std::vector<float> decoded = DecodeRecord(GetParam(), record, n);
    std::vector<float> before = Gaussian(RandomKey(3).With(n), n, 3.0f);
    for (int64_t i = 0; i < n; i += 7) before[i] = -0.0f;
    std::vector<float> added = before;
    std::vector<float> subtracted = before;
    ASSERT_TRUE(Decode(GetParam(), record, DecodeMode::kAdd, absl::MakeSpan(added)).ok());
    ASSERT_TRUE(Decode(GetParam(), record, DecodeMode::kSubtract, absl::MakeSpan(subtracted)).ok());
    std::vector<float> sum = before;
    std::vector<float> difference = before;
    for (uint32_t place : ReferencePlaces(GetParam(), values)) {
      sum[place] += decoded[place];
      difference[place] -= decoded[place];
    }
    ASSERT_EQ(BitsOf(added), BitsOf(sum)) << n << " elements";
    ASSERT_EQ(BitsOf(subtracted), BitsOf(difference)) << n << " elements";
  }
}

TEST_P(TopKTest, EncodingTwiceGivesTheSameBytes) {
  for (int64_t n : TopKSizes()) {
    const std::vector<float> values = Gaussian(RandomKey(4).With(n), n);
    // The buffers start with different bytes: every byte of a record is written.
    std::vector<std::byte> first(EncodedBytes(GetParam(), n), std::byte{0x00});
    std::vector<std::byte> second(EncodedBytes(GetParam(), n), std::byte{0xff});
    Encode(GetParam(), values, RandomKey(5), absl::MakeSpan(first));
    Encode(GetParam(), values, RandomKey(6), absl::MakeSpan(second));
    ASSERT_EQ(first, second) << n << " elements";
  }
}

TEST_P(TopKTest, LengthIsThatOfTheReference) {
  for (int64_t n : TopKSizes()) {
    EXPECT_EQ(EncodedBytes(GetParam(), n) % 4, 0u) << n;
    // The reference derives its length from what it wrote.
    const std::vector<float> values = Gaussian(RandomKey(5).With(n), n);
    EXPECT_EQ(ReferenceTopKRecord(GetParam(), values).size(), EncodedBytes(GetParam(), n)) << n;
  }
}

TEST_P(TopKTest, BuffersMayLieAtAnyAddress) {
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

TEST_P(TopKTest, DropsNoMoreEnergyThanItsShare) {
  if (GetParam().bits != 32) return;  // other values add their rounding
  for (int64_t n : TopKSizes()) {
    if (n == 0) continue;
    for (const TopKInput& input : TopKInputs(RandomKey(7).With(n), n)) {
      const double kept = static_cast<double>(ReferencePlaces(GetParam(), input.values).size());
      const double rest = static_cast<double>(n) - kept;
      const double error = EnergyOfError(input.values, RoundTrip(GetParam(), input.values));
      // Exact: rest / n of the energy. Else one of the boundary's bin may be dropped for another
      // that is 1/16 smaller; the denormals share a bin whatever their ratio.
      if (!GetParam().exact && input.name == "denormal") continue;
      const double slack = GetParam().exact ? 1 : 17.0 * 17 / (16 * 16);
      EXPECT_LE(error, slack * rest / (kept + slack * rest) * Energy(input.values) * (1 + 1e-12))
          << input.name << " " << n;
    }
  }
}

TEST_P(TopKTest, NaNAndInfinityAreSentFirst) {
  for (float bad : {kNaN, -kNaN, kInfinity, -kInfinity}) {
    for (int64_t n : {1, 8, 9, 513, 4097}) {
      for (int64_t at : {int64_t{0}, n / 2, n - 1}) {
        std::vector<float> values = Gaussian(RandomKey(8).With(n), n, 1e4f);
        values[at] = bad;
        const std::vector<float> decoded = RoundTrip(GetParam(), values);
        if (GetParam().bits >= 16) {
          EXPECT_TRUE(std::isnan(bad) ? std::isnan(decoded[at]) : decoded[at] == bad);
          continue;
        }
        EXPECT_TRUE(std::isnan(decoded[at])) << bad << " at " << at << " of " << n;
        // It takes the block of 512 kept values with it, and no other.
        const std::vector<uint32_t> places = ReferencePlaces(GetParam(), values);
        const auto rank = std::lower_bound(places.begin(), places.end(), at) - places.begin();
        for (size_t i = 0; i < places.size(); ++i) {
          ASSERT_EQ(std::isnan(decoded[places[i]]), static_cast<int64_t>(i) / 512 == rank / 512);
        }
      }
    }
  }
}

TEST_P(TopKTest, SentPlusResidualIsTheInput) {
  const int64_t n = 140;
  std::vector<float> residual(n, 0.0f);
  std::vector<double> input_sum(n, 0.0);
  std::vector<double> sent_sum(n, 0.0);
  for (uint64_t step = 0; step < 200; ++step) {
    const std::vector<float> gradient = Gaussian(RandomKey(9).With(step), n, 0.01f);
    for (int64_t i = 0; i < n; ++i) {
      input_sum[i] += gradient[i];
      residual[i] += gradient[i];
    }
    const std::vector<std::byte> record = EncodeRecord(GetParam(), residual);
    const std::vector<float> sent = DecodeRecord(GetParam(), record, n);
    for (int64_t i = 0; i < n; ++i) sent_sum[i] += sent[i];
    ASSERT_TRUE(Decode(GetParam(), record, DecodeMode::kSubtract, absl::MakeSpan(residual)).ok());
  }
  for (int64_t i = 0; i < n; ++i) {
    const double tolerance = 200 * 0x1p-23 * (std::fabs(residual[i]) + 1.0);
    EXPECT_NEAR(sent_sum[i] + residual[i], input_sum[i], tolerance) << "element " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(TopKCodecs, TopKTest, ::testing::ValuesIn(TopKCodecs()),
                         [](const auto& info) { return TopKTestName(info.param); });

TEST(TopKSelection, TiesGoToTheLowerIndex) {
  const std::vector<float> values = {1, -2, 2, 0.5f, -2, 2, 1, 0};
  for (bool exact : {false, true}) {
    EXPECT_EQ(RoundTrip(TopK(375000, 32, exact), values),
              std::vector<float>({0, -2, 2, 0, -2, 0, 0, 0}));
    EXPECT_EQ(RoundTrip(TopK(625000, 32, exact), values),
              std::vector<float>({1, -2, 2, 0, -2, 2, 0, 0}));
  }
}

TEST(TopKSelection, ZerosAreSentWhenNothingElseIsLeft) {
  const std::vector<float> values = {0.0f, -0.0f, 0.0f, 3.0f};
  for (bool exact : {false, true}) {
    const std::vector<float> decoded = RoundTrip(TopK(500000, 32, exact), values);
    EXPECT_EQ(BitsOf(decoded), BitsOf({0.0f, 0.0f, 0.0f, 3.0f}));
    EXPECT_TRUE(std::signbit(RoundTrip(TopK(750000, 32, exact), values)[1])) << "with its sign";
  }
}

TEST(TopKSelection, ExactTellsNeighboursApartAndTheHistogramDoesNot) {
  std::vector<float> values(100, 0.0f);
  values[10] = 1.0f;
  values[90] = std::nextafter(1.0f, 2.0f);
  EXPECT_EQ(RoundTrip(TopK(10000, 32, true), values)[90], values[90]);
  EXPECT_EQ(RoundTrip(TopK(10000, 32, false), values)[10], values[10]);
  values[90] = 1.0625f;  // the next bin
  EXPECT_EQ(RoundTrip(TopK(10000, 32, false), values)[90], values[90]);
}

TEST(TopKSize, IsThatOfTheFormula) {
  // Header, low parts, bitmap, values.
  EXPECT_EQ(EncodedBytes(TopK(10000, 32, false), 0), 12u);
  EXPECT_EQ(EncodedBytes(TopK(10000, 32, false), 1), 12u + 0 + 4 + 4);
  EXPECT_EQ(EncodedBytes(TopK(1, 32, false), 100), 12u + 4 + 4 + 4) << "at least one";
  EXPECT_EQ(EncodedBytes(TopK(10000, 32, true), 100000), 12u + 752 + 324 + 4000)
      << "1000 * 6 bits, and 1562 + 1000 bits";
  EXPECT_EQ(EncodedBytes(TopK(500000, 16, false), 1000), 12u + 128 + 1000) << "a plain bitmap";
  EXPECT_EQ(EncodedBytes(TopK(500000, 8, false), 2000), 12u + 252 + (8 + 512) + (8 + 488));
  EXPECT_EQ(EncodedBytes(TopK(500000, 4, false), 2000), 12u + 252 + (8 + 256) + (8 + 248));
}

TEST(TopKSize, NeverNeedsMoreForAPlaceThanAPlainBitmapOrAnIndex) {
  for (uint32_t density_ppm = 1; density_ppm <= 1000000; density_ppm += 1 + density_ppm / 3) {
    const int64_t n = 1 << 20;
    const double kept = std::ceil(n * (density_ppm * 1e-6));
    const double places = EncodedBytes(TopK(density_ppm, 32, false), n) - 12.0 - 4 * kept;
    EXPECT_LE(places, n / 8.0) << density_ppm;
    EXPECT_LE(places, 4 * kept + 8) << density_ppm;
    // The information bound: log2 of (n over kept), and 0.7 bits to spare per place.
    const double p = kept / n;
    const double bound = p < 1 ? n * (-p * std::log2(p) - (1 - p) * std::log2(1 - p)) / 8 : 0;
    if (density_ppm >= 250000) continue;
    EXPECT_LE(places, bound + kept * 0.7 / 8 + 16) << density_ppm;
  }
}

TEST(TopKSize, APlaceAtOnePercentTakesBelowNineBits) {
  const double places = EncodedBytes(TopK(10000, 32, false), 1000000) - 12.0 - 40000;
  EXPECT_NEAR(places * 8 / 10000, 8.56, 0.01);
}

// Long enough for the sample that guesses a threshold.
class LongTopKTest : public ::testing::TestWithParam<bool> {
 protected:
  static constexpr int64_t kElements = 300001;

  void ExpectReference(uint32_t density_ppm, const std::vector<float>& values) {
    const CodecConfig config = TopK(density_ppm, 32, GetParam());
    const bool same = EncodeRecord(config, values) == ReferenceTopKRecord(config, values);
    EXPECT_TRUE(same) << ToString(config);
  }
};

TEST_P(LongTopKTest, SelectsWhatTheReferenceDoes) {
  for (const TopKInput& input : TopKInputs(RandomKey(10), kElements)) {
    SCOPED_TRACE(input.name);
    for (uint32_t density_ppm : {1u, 1000u, 10000u, 100000u, 900000u}) {
      ExpectReference(density_ppm, input.values);
    }
  }
}

TEST_P(LongTopKTest, ASampleThatMissesAllLargeValuesChangesNothing) {
  std::vector<float> values = Gaussian(RandomKey(11), kElements, 1e-3f);
  for (int64_t i = 600; i < 4600; ++i) values[i] *= 1e4f;  // between two runs of the sample
  for (uint32_t density_ppm : {1000u, 10000u, 20000u}) ExpectReference(density_ppm, values);
}

TEST_P(LongTopKTest, ASampleThatSeesOnlyLargeValuesChangesNothing) {
  std::vector<float> values = Gaussian(RandomKey(12), kElements, 1e-3f);
  const int64_t stride = kElements / (kElements / (32 * 256));
  for (int64_t i = 0; i < kElements; ++i) {
    if (i % stride < 256) values[i] = 1.0f + values[i];
  }
  for (uint32_t density_ppm : {1000u, 10000u, 100000u, 500000u}) {
    ExpectReference(density_ppm, values);
  }
}

INSTANTIATE_TEST_SUITE_P(Selections, LongTopKTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "exact" : "histogram"; });

}  // namespace
}  // namespace sluice
