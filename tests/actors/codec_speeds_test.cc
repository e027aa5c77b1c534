#include "actors/codec_speeds.h"

#include "gtest/gtest.h"

namespace sluice {
namespace {

constexpr CodecConfig kRaw = {};
constexpr CodecConfig kMaxMin4 = {CodecKind::kMaxMin, 4, 512};

CodecConfig LowRank(uint16_t rank, uint8_t bits) {
  CodecConfig codec;
  codec.kind = CodecKind::kLowRank;
  codec.rank = rank;
  codec.bits = bits;
  return codec;
}

/// A nanosecond to encode, two to decode, half of one per product; raw a tenth.
CodecSpeeds Speeds() {
  CodecSpeeds speeds;
  speeds.codecs = {{kRaw, 1e-10, 2e-10}, {kMaxMin4, 1e-9, 2e-9}};
  speeds.product_seconds = 0.5e-9;
  return speeds;
}

const TensorInfo kTensor = {"w", 8000, 80};

TEST(CodecSeconds, EncodesOnceAndDecodesWhatItAddsTakesAndSent) {
  // Four ranks: adds 3 parts of 1 / 4, takes 3 / 4, and decodes all that it encoded.
  EXPECT_DOUBLE_EQ(CodecSeconds(Speeds(), kMaxMin4, kTensor, 4, true),
                   8000 * (1e-9 + (0.75 + 0.75 + 1) * 2e-9));
}

TEST(CodecSeconds, WithoutFeedbackOnlyTheOwnSumIsDecodedAgain) {
  EXPECT_DOUBLE_EQ(CodecSeconds(Speeds(), kMaxMin4, kTensor, 4, false),
                   8000 * (1e-9 + (0.75 + 0.75 + 0.25) * 2e-9));
}

TEST(CodecSeconds, RawCostsItsCopies) {
  EXPECT_DOUBLE_EQ(CodecSeconds(Speeds(), kRaw, kTensor, 2, true), 8000 * (1e-10 + 2e-10));
}

TEST(CodecSeconds, OfLowRankAreProductsBasesAndFactors) {
  const double products = 4 * 2 * 8000 + 2 * 2 * 2 * (80 + 100);
  const double factors = 2 * (80 + 100);
  EXPECT_DOUBLE_EQ(CodecSeconds(Speeds(), LowRank(2, 32), kTensor, 2, true),
                   products * 0.5e-9 + factors * (1e-10 + 2e-10));
}

TEST(CodecSeconds, AreZeroWhereNothingIsEncodedOrKnown) {
  EXPECT_EQ(CodecSeconds(Speeds(), kMaxMin4, kTensor, 1, true), 0);
  EXPECT_EQ(CodecSeconds({}, kMaxMin4, kTensor, 4, true), 0);
  EXPECT_EQ(CodecSeconds({}, LowRank(2, 32), kTensor, 4, true), 0);
}

TEST(MeasureCodecSpeeds, TakesTheBestRunOfEachCodecAndOfFactors) {
  // Every look at the clock is later than the last one by more: the first run is the best.
  absl::Time now = absl::UnixEpoch();
  absl::Duration tick = absl::Milliseconds(1);
  const auto clock = [&] {
    now += tick;
    tick *= 2;
    return now;
  };
  const CodecSpeeds speeds = MeasureCodecSpeeds({kMaxMin4, LowRank(2, 32), LowRank(4, 32)}, clock);
  ASSERT_EQ(speeds.codecs.size(), 2u);  // both ranks' factors are raw
  EXPECT_EQ(speeds.codecs[0].config, kMaxMin4);
  EXPECT_EQ(speeds.codecs[1].config, kRaw);
  EXPECT_NEAR(speeds.codecs[0].encode_seconds, 2e-3 / (256 * 1024), 1e-15);
  EXPECT_NEAR(speeds.codecs[0].decode_seconds, 64 * 2e-3 / (256 * 1024), 1e-13);
  EXPECT_GT(speeds.product_seconds, 0);
}

TEST(MeasureCodecSpeeds, OfEveryKindIsANumber) {
  std::vector<CodecConfig> codecs = {kRaw, kMaxMin4, LowRank(4, 8)};
  codecs.push_back({CodecKind::kFp16});
  codecs.push_back({CodecKind::kDrop});
  codecs.push_back({CodecKind::kSign, 1, 128});
  codecs.push_back({CodecKind::kTopK, 8, 0, false, 10000});
  const CodecSpeeds speeds = MeasureCodecSpeeds(codecs, [] {
    static int64_t looks = 0;
    return absl::FromUnixMillis(++looks);
  });
  const TensorInfo tensor = {"w", 64 * 64, 64};
  for (const CodecConfig& codec : codecs) {
    EXPECT_GT(CodecSeconds(speeds, codec, tensor, 2, true), 0) << ToString(codec);
  }
}

}  // namespace
}  // namespace sluice
