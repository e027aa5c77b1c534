// Every single way to damage a record is kDataLoss, and leaves the output alone.

#include <string>
#include <vector>

#include "comm/codec/codec.h"
#include "comm/codec/record_header.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/comm/codec/codec_cases.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kElements = 37;  // leaves spare bits at 1 to 7 bits, and odd for 16-bit casts

class RecordDamageTest : public ::testing::TestWithParam<CodecConfig> {
 protected:
  void SetUp() override {
    values_ = Gaussian(RandomKey(1), kElements);
    record_ = EncodeRecord(GetParam(), values_);
  }

  // Decodes an exact heap copy, so that the address sanitizer watches its end.
  absl::Status DecodeCopy(const std::vector<std::byte>& bytes) {
    const std::vector<std::byte> exact(bytes.begin(), bytes.end());
    std::vector<float> out(kElements, 5.0f);
    const absl::Status status = Decode(GetParam(), exact, DecodeMode::kAdd, absl::MakeSpan(out));
    if (!status.ok()) {
      EXPECT_EQ(out, std::vector<float>(kElements, 5.0f)) << "output touched";
      EXPECT_THAT(std::string(status.message()), HasSubstr(ToString(GetParam())));
    }
    return status;
  }

  std::vector<float> values_;
  std::vector<std::byte> record_;
};

TEST_P(RecordDamageTest, AnIntactRecordDecodes) { EXPECT_TRUE(DecodeCopy(record_).ok()); }

TEST_P(RecordDamageTest, EveryTruncationIsDataLoss) {
  for (size_t n = 0; n < record_.size(); ++n) {
    EXPECT_EQ(DecodeCopy({record_.begin(), record_.begin() + n}).code(),
              absl::StatusCode::kDataLoss)
        << "kept " << n << " bytes";
  }
}

TEST_P(RecordDamageTest, AnyExtraByteIsDataLoss) {
  for (size_t n = 1; n <= 16; ++n) {
    std::vector<std::byte> longer = record_;
    longer.resize(longer.size() + n);
    EXPECT_EQ(DecodeCopy(longer).code(), absl::StatusCode::kDataLoss) << n << " more bytes";
  }
}

TEST_P(RecordDamageTest, EveryChangedHeaderBitIsDataLoss) {
  for (size_t byte = 0; byte < kRecordHeaderBytes; ++byte) {
    for (int bit = 0; bit < 8; ++bit) {
      std::vector<std::byte> damaged = record_;
      damaged[byte] ^= static_cast<std::byte>(1 << bit);
      EXPECT_EQ(DecodeCopy(damaged).code(), absl::StatusCode::kDataLoss)
          << "bit " << bit << " of byte " << byte;
    }
  }
}

TEST_P(RecordDamageTest, HeaderErrorsNameTheField) {
  static constexpr struct {
    size_t byte;
    const char* field;
  } kFields[] = {{0, "format version"}, {1, "codec kind"},    {2, "bits"},
                 {3, "flags"},          {4, "element count"}, {8, "bucket size"}};
  for (const auto& [byte, field] : kFields) {
    std::vector<std::byte> damaged = record_;
    damaged[byte] ^= std::byte{0x40};
    EXPECT_THAT(std::string(DecodeCopy(damaged).message()), HasSubstr(field));
  }
}

TEST_P(RecordDamageTest, PaddingThatIsNotZeroIsDataLoss) {
  std::vector<std::byte> damaged = record_;
  damaged.back() ^= std::byte{0x80};
  const absl::Status status = DecodeCopy(damaged);
  if (GetParam().kind == CodecKind::kRaw) {
    EXPECT_TRUE(status.ok()) << "raw has no padding";
  } else if (GetParam().kind == CodecKind::kDrop) {
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << "all of the record is its header";
  } else {
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(status.message()), HasSubstr("padding"));
  }
}

TEST_P(RecordDamageTest, AnotherCountIsDataLoss) {
  for (int64_t n : {kElements - 1, kElements + 1, int64_t{0}}) {
    std::vector<float> out(n);
    EXPECT_EQ(Decode(GetParam(), record_, DecodeMode::kAssign, absl::MakeSpan(out)).code(),
              absl::StatusCode::kDataLoss)
        << n;
  }
}

TEST_P(RecordDamageTest, RandomBodiesDecodeToSomethingWithoutCrashing) {
  for (uint64_t round = 0; round < 200; ++round) {
    std::vector<std::byte> damaged = record_;
    const RandomKey key = RandomKey(2).With(round);
    for (size_t i = kRecordHeaderBytes; i < damaged.size(); ++i) {
      damaged[i] = static_cast<std::byte>(key.Bits(i));
    }
    const absl::Status status = DecodeCopy(damaged);
    EXPECT_TRUE(status.ok() || status.code() == absl::StatusCode::kDataLoss) << status;
  }
}

INSTANTIATE_TEST_SUITE_P(AllCodecs, RecordDamageTest, ::testing::ValuesIn(AllCodecs()),
                         [](const auto& info) { return TestName(info.param); });

TEST(RecordDamage, TheCodeThatTernaryNeverWritesIsDataLoss) {
  const CodecConfig config = {CodecKind::kTernary, 2, 16, false};
  const std::vector<std::byte> record = EncodeRecord(config, std::vector<float>(kElements, 0.0f));
  const size_t codes = kRecordHeaderBytes + 3 * 4;  // after three scales
  for (int64_t i = 0; i < kElements; ++i) {
    for (int code = 0; code < 4; ++code) {
      std::vector<std::byte> damaged = record;
      damaged[codes + i / 4] = static_cast<std::byte>(code << (i % 4 * 2));
      std::vector<float> out(kElements, 5.0f);
      const absl::Status status = Decode(config, damaged, DecodeMode::kAssign, absl::MakeSpan(out));
      if (code != 2) {
        EXPECT_TRUE(status.ok()) << status;
        continue;
      }
      EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << "element " << i;
      EXPECT_THAT(std::string(status.message()), HasSubstr("code is 2"));
      EXPECT_EQ(out, std::vector<float>(kElements, 5.0f)) << "output touched";
    }
  }
}

TEST(RecordDamage, AnInvalidConfigIsRefusedBeforeTheRecordIsRead) {
  std::vector<float> out(4);
  const absl::Status status =
      Decode({CodecKind::kMaxMin, 9, 512, false}, {}, DecodeMode::kAssign, absl::MakeSpan(out));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace sluice
