#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "policies/compression/compression_policy.h"
#include "tests/policies/compression/window_builder.h"

namespace sluice {
namespace {

using testing::HasSubstr;

proto::TensorSpec Tensor(std::vector<int64_t> shape) {
  proto::TensorSpec tensor;
  for (const int64_t extent : shape) tensor.add_shape(extent);
  return tensor;
}

TEST(CandidateCodecs, RawIsFirstAndTheReferenceSecond) {
  const auto codecs = CandidateCodecs(Config());
  EXPECT_EQ(codecs[0].kind(), proto::CODEC_RAW);
  EXPECT_EQ(codecs[1].SerializeAsString(), UniformCodec(Config()).SerializeAsString());
}

TEST(CandidateCodecs, HoldFp16AndEveryPairOfBitsAndBucketsOnce) {
  const auto codecs = CandidateCodecs(Config());
  std::set<std::string> seen;
  for (const auto& codec : codecs) seen.insert(codec.SerializeAsString());
  EXPECT_EQ(seen.size(), codecs.size());
  EXPECT_EQ(codecs.size(), 2 + 5 * 2u);  // the reference is one of the pairs
  EXPECT_EQ(codecs[2].kind(), proto::CODEC_FP16);
}

TEST(CandidateCodecs, ReferenceOutsideTheListsIsAdded) {
  auto config = Config();
  config.set_uniform_bits(5);
  EXPECT_EQ(CandidateCodecs(config).size(), 3 + 5 * 2u);
}

TEST(CandidateCodecs, RepeatedValuesAreNotRepeated) {
  auto config = Config();
  config.add_candidate_bits(2);
  config.add_candidate_buckets(512);
  EXPECT_EQ(CandidateCodecs(config).size(), CandidateCodecs(Config()).size());
}

TEST(CandidateCodecs, FollowQuantizerAndRounding) {
  auto config = Config();
  config.set_quantizer("l2norm");
  config.set_rounding("stochastic");
  for (const auto& codec : CandidateCodecs(config)) {
    if (codec.bits() == 0) continue;
    EXPECT_EQ(codec.kind(), proto::CODEC_L2NORM);
    EXPECT_TRUE(codec.stochastic());
  }
}

TEST(CandidateCodecs, L2NormOfOneBitIsLeftOut) {
  auto config = Config();
  config.add_candidate_bits(1);
  config.set_quantizer("l2norm");
  for (const auto& codec : CandidateCodecs(config)) EXPECT_NE(codec.bits(), 1);
}

TEST(IsEligible, MatricesWithEnoughElementsAre) {
  EXPECT_TRUE(IsEligible(Config(), Tensor({32, 32})));
  EXPECT_TRUE(IsEligible(Config(), Tensor({16, 8, 3, 3})));
}

TEST(IsEligible, SmallMatricesAreNot) { EXPECT_FALSE(IsEligible(Config(), Tensor({32, 31}))); }

TEST(IsEligible, VectorsAndScalarsAreNot) {
  EXPECT_FALSE(IsEligible(Config(), Tensor({1 << 20})));
  EXPECT_FALSE(IsEligible(Config(), Tensor({})));
}

TEST(IsEligible, EmptyTensorsAreNot) { EXPECT_FALSE(IsEligible(Config(), Tensor({0, 4096}))); }

TEST(IsEligible, ShapesBeyond64BitsAre) {
  EXPECT_TRUE(IsEligible(Config(), Tensor({int64_t{1} << 40, int64_t{1} << 40})));
}

TEST(CreateCompressionPolicy, UnknownNameListsTheKnownOnes) {
  const auto policy = CreateCompressionPolicy(Config("magic"));
  EXPECT_EQ(policy.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(policy.status().message()),
              HasSubstr("\"magic\", expected one of lgreco, none, uniform"));
}

TEST(CreateCompressionPolicy, OneBitReferenceOfL2NormIsRefused) {
  auto config = Config();
  config.set_quantizer("l2norm");
  config.set_uniform_bits(1);
  const auto policy = CreateCompressionPolicy(config);
  EXPECT_EQ(policy.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(policy.status().message()), HasSubstr("uniform_bits is 1"));
}

TEST(CreateCompressionPolicy, UnknownMetricIsRefused) {
  auto config = Config();
  config.set_metric("l1");
  EXPECT_EQ(CreateCompressionPolicy(config).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace sluice
