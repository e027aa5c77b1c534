#include "comm/codec/codec_config.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/comm/codec/codec_cases.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

TEST(CodecConfig, NamesSayKindBitsBucketAndRounding) {
  EXPECT_EQ(ToString({CodecKind::kRaw, 0, 0, false}), "raw");
  EXPECT_EQ(ToString({CodecKind::kFp16, 0, 0, false}), "fp16");
  EXPECT_EQ(ToString({CodecKind::kBf16, 0, 0, false}), "bf16");
  EXPECT_EQ(ToString({CodecKind::kMaxMin, 4, 512, false}), "maxmin4/512");
  EXPECT_EQ(ToString({CodecKind::kL2Norm, 4, 512, true}), "l2norm4/512s");
  EXPECT_EQ(ToString({CodecKind::kSign, 1, 512}), "sign/512");
  EXPECT_EQ(ToString({CodecKind::kClipped, 2, 512}), "clipped2/512");
  EXPECT_EQ(ToString({CodecKind::kTernary, 2, 512}), "ternary/512");
  EXPECT_EQ(ToString({CodecKind::kDrop}), "drop");
  EXPECT_EQ(ToString({CodecKind::kTopK, 16, 0, false, 10000}), "topk1%/fp16");
  EXPECT_EQ(ToString({CodecKind::kTopK, 8, 0, false, 1000, true}), "topk0.1%/q8x");
  EXPECT_EQ(ToString({CodecKind::kLowRank, 32, 0, false, 0, false, 4}), "lowrank4/fp32");
}

TEST(CodecConfig, EveryCodecOfTheTestsIsValid) {
  for (const CodecConfig& config : AllCodecs()) {
    EXPECT_TRUE(ValidateCodec(config).ok()) << ToString(config);
  }
}

TEST(CodecConfig, OnlyRawIsLossless) {
  for (const CodecConfig& config : AllCodecs()) {
    EXPECT_EQ(IsLossless(config), config.kind == CodecKind::kRaw) << ToString(config);
  }
}

TEST(CodecConfig, QuantisersAreTheKindsWithABucketSize) {
  for (const CodecConfig& config : AllCodecs()) {
    EXPECT_EQ(IsQuantiser(config), config.bucket_size > 0) << ToString(config);
  }
  EXPECT_FALSE(IsQuantiser({CodecKind::kTopK, 16, 0, false, 10000}));
  EXPECT_FALSE(IsQuantiser({static_cast<CodecKind>(11)}));
}

struct BadConfig {
  CodecConfig config;
  const char* field;
  const char* range;
};

class BadConfigTest : public ::testing::TestWithParam<BadConfig> {};

TEST_P(BadConfigTest, IsRefusedNamingFieldAndRange) {
  const absl::Status status = ValidateCodec(GetParam().config);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().field));
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().range));
}

INSTANTIATE_TEST_SUITE_P(
    Fields, BadConfigTest,
    ::testing::Values(
        BadConfig{{static_cast<CodecKind>(11), 0, 0, false}, "kind is 11", "0 (raw) to 10"},
        BadConfig{{CodecKind::kRaw, 4, 0, false}, "bits is 4", "expected 0"},
        BadConfig{{CodecKind::kFp16, 0, 512, false}, "bucket_size is 512", "expected 0"},
        BadConfig{{CodecKind::kBf16, 0, 0, true}, "stochastic", "rounds to nearest"},
        BadConfig{{CodecKind::kMaxMin, 0, 512, false}, "bits is 0", "1 to 8"},
        BadConfig{{CodecKind::kMaxMin, 9, 512, false}, "bits is 9", "1 to 8"},
        BadConfig{{CodecKind::kL2Norm, 1, 512, false}, "bits is 1", "2 to 8"},
        BadConfig{{CodecKind::kMaxMin, 4, 3, false}, "bucket_size is 3", "4 to 65536"},
        BadConfig{{CodecKind::kL2Norm, 4, 65537, false}, "bucket_size is 65537", "4 to 65536"},
        BadConfig{{CodecKind::kSign, 2, 512, false}, "bits is 2", "1 to 1"},
        BadConfig{{CodecKind::kClipped, 5, 512, false}, "bits is 5", "1 to 4"},
        BadConfig{{CodecKind::kTernary, 2, 512, true}, "stochastic", "rounds to nearest"},
        BadConfig{{CodecKind::kDrop, 0, 512, false}, "bucket_size is 512", "expected 0"},
        BadConfig{{CodecKind::kMaxMin, 4, 512, false, 10}, "density_ppm is 10", "expected 0"},
        BadConfig{{CodecKind::kMaxMin, 4, 512, false, 0, true}, "exact", "selects nothing"},
        BadConfig{{CodecKind::kTopK, 16, 0, false, 0}, "density_ppm is 0", "1 to 1000000"},
        BadConfig{{CodecKind::kTopK, 12, 0, false, 10000}, "bits is 12", "32, 16, 8 or 4"},
        BadConfig{{CodecKind::kLowRank, 4, 0, false, 0, false, 4}, "bits is 4", "8 to 32"},
        BadConfig{{CodecKind::kLowRank, 12, 0, false, 0, false, 4}, "bits is 12", "32, 16, 8"},
        BadConfig{{CodecKind::kLowRank, 32, 0, false, 0, false, 0}, "rank is 0", "1 to 256"}));

}  // namespace
}  // namespace sluice
