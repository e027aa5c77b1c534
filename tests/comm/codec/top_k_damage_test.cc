// Every way to damage a top-k record is kDataLoss, and leaves the output alone.

#include <string>
#include <vector>

#include "comm/codec/codec.h"
#include "comm/codec/record_header.h"
#include "comm/codec/top_k_layout.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/comm/codec/codec_cases.h"
#include "tests/comm/codec/top_k_cases.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

// Decodes an exact heap copy, so that the address sanitizer watches its end.
absl::Status DecodeCopy(const CodecConfig& config, const std::vector<std::byte>& bytes, int64_t n) {
  const std::vector<std::byte> exact(bytes.begin(), bytes.end());
  std::vector<float> out(n, 5.0f);
  const absl::Status status = Decode(config, exact, DecodeMode::kAssign, absl::MakeSpan(out));
  if (!status.ok()) {
    EXPECT_EQ(out, std::vector<float>(n, 5.0f)) << "output touched";
    EXPECT_THAT(std::string(status.message()), HasSubstr(ToString(config)));
  }
  return status;
}

class TopKDamageTest : public ::testing::TestWithParam<CodecConfig> {
 protected:
  static constexpr int64_t kElements = 137;

  absl::Status DecodeBytes(const std::vector<std::byte>& bytes) {
    return DecodeCopy(GetParam(), bytes, kElements);
  }

  std::vector<std::byte> record_ = EncodeRecord(GetParam(), Gaussian(RandomKey(1), kElements));
};

TEST_P(TopKDamageTest, EveryTruncationIsDataLoss) {
  ASSERT_TRUE(DecodeBytes(record_).ok());
  for (size_t n = 0; n < record_.size(); ++n) {
    EXPECT_EQ(DecodeBytes({record_.begin(), record_.begin() + n}).code(),
              absl::StatusCode::kDataLoss)
        << "kept " << n << " bytes";
  }
}

TEST_P(TopKDamageTest, AnyExtraByteIsDataLoss) {
  for (size_t n = 1; n <= 16; ++n) {
    std::vector<std::byte> longer = record_;
    longer.resize(longer.size() + n);
    EXPECT_EQ(DecodeBytes(longer).code(), absl::StatusCode::kDataLoss) << n << " more bytes";
  }
}

TEST_P(TopKDamageTest, EveryChangedHeaderBitIsDataLoss) {
  for (size_t bit = 0; bit < 8 * kRecordHeaderBytes; ++bit) {
    std::vector<std::byte> damaged = record_;
    damaged[bit / 8] ^= static_cast<std::byte>(1 << (bit % 8));
    EXPECT_EQ(DecodeBytes(damaged).code(), absl::StatusCode::kDataLoss) << "bit " << bit;
  }
}

TEST_P(TopKDamageTest, EveryChangedBitmapBitIsDataLoss) {
  const TopKLayout layout = TopKLayoutOf(kElements, GetParam().density_ppm, GetParam().bits);
  for (size_t bit = 0; bit < 8 * layout.bitmap_bytes; ++bit) {
    std::vector<std::byte> damaged = record_;
    damaged[kRecordHeaderBytes + layout.low_bytes + bit / 8] ^=
        static_cast<std::byte>(1 << (bit % 8));
    const absl::Status status = DecodeBytes(damaged);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << "bit " << bit;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr(bit < layout.bitmap_bits ? "another count" : "padding"));
  }
}

TEST_P(TopKDamageTest, ChangedPaddingIsDataLoss) {
  const TopKLayout layout = TopKLayoutOf(kElements, GetParam().density_ppm, GetParam().bits);
  for (size_t bit = layout.kept * layout.low_bits; bit < 8 * layout.low_bytes; ++bit) {
    std::vector<std::byte> damaged = record_;
    damaged[kRecordHeaderBytes + bit / 8] ^= static_cast<std::byte>(1 << (bit % 8));
    EXPECT_THAT(std::string(DecodeBytes(damaged).message()), HasSubstr("padding of the places"));
  }
  const size_t scales = GetParam().bits <= 8 ? 64 : 0;
  for (size_t bit = scales + layout.kept * GetParam().bits; bit < 8 * layout.value_bytes; ++bit) {
    std::vector<std::byte> damaged = record_;
    damaged[record_.size() - layout.value_bytes + bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    EXPECT_THAT(std::string(DecodeBytes(damaged).message()), HasSubstr("padding of the values"));
  }
}

TEST_P(TopKDamageTest, AnotherCountIsDataLoss) {
  for (int64_t n : {kElements - 1, kElements + 1, int64_t{0}}) {
    EXPECT_EQ(DecodeCopy(GetParam(), record_, n).code(), absl::StatusCode::kDataLoss) << n;
  }
}

TEST_P(TopKDamageTest, AnotherDensityIsDataLoss) {
  CodecConfig other = GetParam();
  other.density_ppm += other.density_ppm == 1000000 ? -1 : 1;
  EXPECT_THAT(std::string(DecodeCopy(other, record_, kElements).message()), HasSubstr("density"));
  other = GetParam();
  other.exact = !other.exact;
  EXPECT_THAT(std::string(DecodeCopy(other, record_, kElements).message()), HasSubstr("flags"));
}

TEST_P(TopKDamageTest, RandomBodiesDecodeToSomethingWithoutCrashing) {
  for (uint64_t round = 0; round < 300; ++round) {
    std::vector<std::byte> damaged = record_;
    const RandomKey key = RandomKey(2).With(round);
    // From one changed byte to all.
    for (uint64_t i = 0; i < 1 + round; ++i) {
      const size_t at = kRecordHeaderBytes + key.Below(2 * i, damaged.size() - kRecordHeaderBytes);
      damaged[at] = static_cast<std::byte>(key.Bits(2 * i + 1));
    }
    const absl::Status status = DecodeBytes(damaged);
    EXPECT_TRUE(status.ok() || status.code() == absl::StatusCode::kDataLoss) << status;
  }
}

INSTANTIATE_TEST_SUITE_P(TopKCodecs, TopKDamageTest, ::testing::ValuesIn(TopKCodecs()),
                         [](const auto& info) { return TopKTestName(info.param); });

// A record of 10 of 100 elements: low parts of 3 bits.
class TopKPlacesDamageTest : public ::testing::Test {
 protected:
  TopKPlacesDamageTest() {
    std::vector<float> values(100, 0.0f);
    for (int i = 0; i < 9; ++i) values[i] = 1.0f;
    values[96] = 1.0f;
    record_ = EncodeRecord(config_, values);
  }
  void SetLowPart(int i, uint32_t value) {
    for (int b = 0; b < 3; ++b) {
      const int bit = 3 * i + b;
      std::byte& byte = record_[kRecordHeaderBytes + bit / 8];
      byte &= ~static_cast<std::byte>(1 << (bit % 8));
      byte |= static_cast<std::byte>((value >> b & 1) << (bit % 8));
    }
  }
  std::string Fault() {
    const absl::Status status = DecodeCopy(config_, record_, 100);
    EXPECT_EQ(status.code(), status.ok() ? absl::StatusCode::kOk : absl::StatusCode::kDataLoss);
    return std::string(status.message());
  }

  const CodecConfig config_ = TopK(100000, 32, false);
  std::vector<std::byte> record_;
};

TEST_F(TopKPlacesDamageTest, AnEqualPlaceIsDataLoss) {
  SetLowPart(4, 3);
  EXPECT_THAT(Fault(), HasSubstr("do not ascend"));
}

TEST_F(TopKPlacesDamageTest, ASmallerPlaceIsDataLoss) {
  SetLowPart(7, 0);
  EXPECT_THAT(Fault(), HasSubstr("do not ascend"));
}

TEST_F(TopKPlacesDamageTest, APlacePastTheLastElementIsDataLoss) {
  SetLowPart(9, 3);  // 99
  EXPECT_EQ(Fault(), "");
  SetLowPart(9, 4);  // 100
  EXPECT_THAT(Fault(), HasSubstr("past the last element"));
}

}  // namespace
}  // namespace sluice
