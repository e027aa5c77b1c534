#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "policies/compression/compression_policy.h"
#include "tests/policies/compression/window_builder.h"

namespace sluice {
namespace {

using testing::HasSubstr;

/// Of a layer that low rank suits.
std::vector<proto::CodecChoice> Candidates(const proto::Compression& config,
                                           const std::vector<int64_t>& shape = {256, 512}) {
  return CandidateCodecs(config, Tensor(shape));
}

/// Configured alone, with the lists that it needs.
proto::Compression Family(const std::string& family) {
  auto config = Config();
  config.clear_candidate_families();
  config.add_candidate_families(family);
  for (const double density : {0.01, 0.1}) config.add_candidate_densities(density);
  for (const int rank : {1, 4, 200}) config.add_candidate_ranks(rank);
  config.set_value_bits(16);
  return config;
}

/// What a family adds to raw and the reference.
std::vector<std::string> Added(const std::vector<proto::CodecChoice>& codecs) {
  std::vector<std::string> added;
  for (size_t i = 2; i < codecs.size(); ++i) added.push_back(codecs[i].ShortDebugString());
  return added;
}

TEST(CandidateCodecs, RawIsFirstAndTheReferenceSecond) {
  const auto codecs = Candidates(Config());
  EXPECT_EQ(codecs[0].kind(), proto::CODEC_RAW);
  EXPECT_EQ(codecs[1].SerializeAsString(), UniformCodec(Config()).SerializeAsString());
}

TEST(CandidateCodecs, HoldFp16AndEveryPairOfBitsAndBucketsOnce) {
  const auto codecs = Candidates(Config());
  std::set<std::string> seen;
  for (const auto& codec : codecs) seen.insert(codec.SerializeAsString());
  EXPECT_EQ(seen.size(), codecs.size());
  EXPECT_EQ(codecs.size(), 2 + 5 * 2u);  // the reference is one of the pairs
  EXPECT_EQ(codecs[2].kind(), proto::CODEC_FP16);
}

TEST(CandidateCodecs, ReferenceOutsideTheListsIsAdded) {
  auto config = Config();
  config.set_uniform_bits(5);
  EXPECT_EQ(Candidates(config).size(), 3 + 5 * 2u);
}

TEST(CandidateCodecs, RepeatedValuesAreNotRepeated) {
  auto config = Config();
  config.add_candidate_bits(2);
  config.add_candidate_buckets(512);
  EXPECT_EQ(Candidates(config).size(), Candidates(Config()).size());
}

TEST(CandidateCodecs, FollowQuantizerAndRounding) {
  auto config = Config();
  config.set_quantizer("l2norm");
  config.set_rounding("stochastic");
  for (const auto& codec : Candidates(config)) {
    if (codec.bits() == 0) continue;
    EXPECT_EQ(codec.kind(), proto::CODEC_L2NORM);
    EXPECT_TRUE(codec.stochastic());
  }
}

TEST(CandidateCodecs, L2NormOfOneBitIsLeftOut) {
  auto config = Config();
  config.add_candidate_bits(1);
  config.set_quantizer("l2norm");
  for (const auto& codec : Candidates(config)) EXPECT_NE(codec.bits(), 1);
}

TEST(CandidateCodecs, EachFamilyAddsItsOwn) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> expected = {
      {"cast", {"kind: CODEC_FP16"}},
      {"clipped",
       {"kind: CODEC_CLIPPED bits: 1 bucket_size: 128",
        "kind: CODEC_CLIPPED bits: 2 bucket_size: 128",
        "kind: CODEC_CLIPPED bits: 1 bucket_size: 512",
        "kind: CODEC_CLIPPED bits: 2 bucket_size: 512"}},
      {"sign",
       {"kind: CODEC_SIGN bits: 1 bucket_size: 128", "kind: CODEC_SIGN bits: 1 bucket_size: 512"}},
      {"ternary",
       {"kind: CODEC_TERNARY bits: 2 bucket_size: 128",
        "kind: CODEC_TERNARY bits: 2 bucket_size: 512"}},
      {"topk",
       {"kind: CODEC_TOP_K bits: 16 density_ppm: 10000",
        "kind: CODEC_TOP_K bits: 8 density_ppm: 10000",
        "kind: CODEC_TOP_K bits: 16 density_ppm: 100000",
        "kind: CODEC_TOP_K bits: 8 density_ppm: 100000"}},
      {"lowrank",
       {"kind: CODEC_LOW_RANK bits: 16 rank: 1", "kind: CODEC_LOW_RANK bits: 16 rank: 4"}},
      {"drop", {"kind: CODEC_DROP"}}};
  for (const auto& [family, codecs] : expected) {
    EXPECT_EQ(Added(Candidates(Family(family))), codecs) << family;
  }
}

TEST(CandidateCodecs, FamiliesKeepTheirOrderWhateverTheJobs) {
  auto there = Family("drop");
  there.add_candidate_families("lowrank");
  there.add_candidate_families("topk");
  there.add_candidate_families("cast");
  auto back = there;
  std::reverse(back.mutable_candidate_families()->begin(),
               back.mutable_candidate_families()->end());
  const auto codecs = Added(Candidates(there));
  EXPECT_EQ(codecs, Added(Candidates(back)));
  EXPECT_EQ(codecs.front(), "kind: CODEC_FP16");
  EXPECT_EQ(codecs.back(), "kind: CODEC_DROP");
}

TEST(CandidateCodecs, LowRankNeedsFactorsSmallerThanTheLayer) {
  // Rank 4: 64 values of 64 are not fewer, 68 of 72 are.
  EXPECT_EQ(Added(Candidates(Family("lowrank"), {8, 8})).size(), 1u);
  EXPECT_EQ(Added(Candidates(Family("lowrank"), {8, 9})).back(),
            "kind: CODEC_LOW_RANK bits: 16 rank: 4");
  // 200 is below full rank of 300 x 400, but its factors are larger.
  EXPECT_EQ(Added(Candidates(Family("lowrank"), {300, 400})).size(), 2u);
  EXPECT_EQ(Added(Candidates(Family("lowrank"), {1000, 10, 10, 10})).size(), 3u);
}

TEST(CandidateCodecs, LayersOfOneDimensionHaveNoLowRank) {
  EXPECT_TRUE(Added(Candidates(Family("lowrank"), {1 << 20})).empty());
}

TEST(CandidateCodecs, LowRankReferenceIsAnOptionOfEveryLayer) {
  auto config = Family("cast");
  config.set_uniform_codec("lowrank");
  config.set_uniform_rank(4);
  EXPECT_EQ(Candidates(config, {8, 8})[1].kind(), proto::CODEC_LOW_RANK);
}

TEST(CandidateCodecs, FactorsHaveEightBitsAtTheLeast) {
  auto config = Family("lowrank");
  config.set_value_bits(4);
  EXPECT_EQ(Candidates(config)[2].bits(), 8);
}

proto::CodecChoice Uniform(const std::string& codec) {
  auto config = Config("uniform");
  config.set_uniform_codec(codec);
  config.set_uniform_density(0.001);
  config.set_uniform_rank(2);
  config.set_value_bits(16);
  return UniformCodec(config);
}

TEST(UniformCodec, EachHasItsOwnParametersAndNoOthers) {
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"", "kind: CODEC_MAXMIN bits: 4 bucket_size: 512"},
      {"quantizer", "kind: CODEC_MAXMIN bits: 4 bucket_size: 512"},
      {"fp16", "kind: CODEC_FP16"},
      {"bf16", "kind: CODEC_BF16"},
      {"sign", "kind: CODEC_SIGN bits: 1 bucket_size: 512"},
      {"clipped", "kind: CODEC_CLIPPED bits: 4 bucket_size: 512"},
      {"ternary", "kind: CODEC_TERNARY bits: 2 bucket_size: 512"},
      {"topk", "kind: CODEC_TOP_K bits: 16 density_ppm: 1000"},
      {"lowrank", "kind: CODEC_LOW_RANK bits: 16 rank: 2"}};
  for (const auto& [name, text] : expected) {
    EXPECT_EQ(Uniform(name).ShortDebugString(), text) << name;
  }
}

TEST(UniformCodec, DensityStaysWithinAMillion) {
  auto config = Config("uniform");
  config.set_uniform_codec("topk");
  config.set_uniform_density(1e-9);
  EXPECT_EQ(UniformCodec(config).density_ppm(), 1);
  config.set_uniform_density(1);
  EXPECT_EQ(UniformCodec(config).density_ppm(), 1000000);
}

TEST(IsEligible, LowRankNeedsFactorsThatHalveTheLayer) {
  auto config = Config("uniform");
  config.set_uniform_codec("lowrank");
  config.set_uniform_rank(4);
  EXPECT_TRUE(IsEligible(config, Tensor({64, 3 * 64})));    // 1024 of 12288
  EXPECT_FALSE(IsEligible(config, Tensor({64, 1, 3, 3})));  // smaller than min_elements
  config.set_min_elements(1);
  EXPECT_FALSE(IsEligible(config, Tensor({64, 1, 3, 3})));  // 292 of 576
  EXPECT_FALSE(IsEligible(config, Tensor({16, 16})));       // 128 of 256: half is not less
  EXPECT_TRUE(IsEligible(config, Tensor({16, 17})));        // 132 of 272
}

TEST(IsEligible, RankIsAtMostTheShorterSide) {
  auto config = Config("uniform");
  config.set_uniform_codec("lowrank");
  config.set_uniform_rank(256);
  EXPECT_FALSE(IsEligible(config, Tensor({10, 4096})));  // rank 10: more than the layer itself
  config.set_uniform_rank(4);
  EXPECT_TRUE(IsEligible(config, Tensor({10, 4096})));
}

TEST(IsEligible, OtherCodecsDoNotAskForAShape) {
  auto config = Config("uniform");
  config.set_uniform_codec("topk");
  config.set_uniform_rank(256);
  EXPECT_TRUE(IsEligible(config, Tensor({10, 4096})));
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
              testing::MatchesRegex(".*\"magic\", expected one of .*lgreco, .*none, .*uniform"));
}

TEST(CreateCompressionPolicy, OneBitReferenceOfL2NormIsRefused) {
  auto config = Config();
  config.set_quantizer("l2norm");
  config.set_uniform_bits(1);
  const auto policy = CreateCompressionPolicy(config);
  EXPECT_EQ(policy.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(policy.status().message()), HasSubstr("uniform_bits is 1"));
}

TEST(CreateCompressionPolicy, LgrecoTakesAnyReference) {
  for (const char* codec : {"fp16", "bf16", "sign", "clipped", "ternary", "topk", "lowrank"}) {
    auto config = Config();
    config.set_uniform_codec(codec);
    EXPECT_TRUE(CreateCompressionPolicy(config).ok()) << codec;
  }
}

TEST(CreateCompressionPolicy, UnknownMetricIsRefused) {
  auto config = Config();
  config.set_metric("l1");
  EXPECT_EQ(CreateCompressionPolicy(config).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace sluice
