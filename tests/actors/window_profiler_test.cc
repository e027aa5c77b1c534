#include "actors/window_profiler.h"

#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "actors/codec_choice.h"
#include "base/random.h"
#include "comm/codec/codec_error.h"
#include "comm/low_rank/low_rank_error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "policies/compression/compression_policy.h"
#include "tests/actors/job_fixture.h"

namespace sluice {
namespace {

proto::Compression AllFamilies() {
  proto::Compression compression = DefaultJob(4).compression();
  compression.clear_candidate_families();
  for (const char* family :
       {"quantizer", "cast", "clipped", "sign", "ternary", "topk", "lowrank", "drop"}) {
    compression.add_candidate_families(family);
  }
  return compression;
}

std::vector<proto::CodecChoice> AllCandidates() {
  return CandidateCodecs(AllFamilies(), JoinOf(proto::ROLE_WORKER, 0).tensors(0));
}

class WindowProfilerTest : public testing::Test {
 protected:
  WindowProfilerTest()
      : join_(JoinOf(proto::ROLE_WORKER, 0)),
        layout_(*BucketLayout::Create(*ToTensorInfos(join_.tensors()), 1 << 20, 4)),
        profiler_(*WindowProfiler::Create(DefaultJob(4).compression(), layout_, join_.tensors())) {
    RandomKey key(7);
    snapshot_.window = 3;
    snapshot_.last_step = Step(399);
    for (const TensorInfo& tensor : layout_.tensors()) {
      std::vector<float> values;
      for (int64_t i = 0; i < tensor.elements; ++i) {
        values.push_back(static_cast<float>(key.Below(i, 2000)) / 1000 - 1);
      }
      snapshot_.tensors.push_back(std::move(values));
    }
  }

  WindowProfiler ProfilerOf(const proto::Compression& compression,
                            const CodecSpeeds& speeds = {}) const {
    return *WindowProfiler::Create(compression, layout_, join_.tensors(), speeds);
  }

  proto::Join join_;
  BucketLayout layout_;
  WindowProfiler profiler_;
  WindowSnapshot snapshot_;
};

TEST_F(WindowProfilerTest, MoreBitsLoseLessAndCostMore) {
  const proto::WindowStatistics window = profiler_.Measure(snapshot_);
  EXPECT_EQ(window.window(), 3);
  EXPECT_EQ(window.last_step(), 399);
  const proto::LayerStatistics& layer = window.layers(0);
  std::map<int, const proto::OptionStatistics*> by_bits;
  for (const proto::OptionStatistics& option : layer.options()) {
    if (option.codec().bucket_size() == 512) by_bits[option.codec().bits()] = &option;
  }
  ASSERT_GE(by_bits.size(), 7u);
  for (int bits = 3; bits <= 8; ++bits) {
    EXPECT_LT(by_bits[bits]->squared_error(), by_bits[bits - 1]->squared_error());
    EXPECT_GT(by_bits[bits]->wire_bytes(), by_bits[bits - 1]->wire_bytes());
  }
  EXPECT_LT(by_bits[2]->squared_error(), layer.squared_norm());
}

TEST_F(WindowProfilerTest, LayersOfOtherProfilersAreLeftOut) {
  const proto::WindowStatistics whole = profiler_.Measure(snapshot_);
  snapshot_.tensors[0].clear();
  const proto::WindowStatistics window = profiler_.Measure(snapshot_);
  ASSERT_EQ(window.layers_size(), whole.layers_size() - 1);
  EXPECT_EQ(window.layers(0).SerializeAsString(), whole.layers(1).SerializeAsString());
}

TEST_F(WindowProfilerTest, WhatAStepLostIsPassedOnWhereItIsKnown) {
  snapshot_.lost_squared = {0.25, 0};
  const proto::WindowStatistics window = profiler_.Measure(snapshot_);
  EXPECT_EQ(window.layers(0).lost_squared_error(), 0.25);
  EXPECT_FALSE(window.layers(1).has_lost_squared_error());
}

TEST_F(WindowProfilerTest, BiasesHaveTheRawOptionAlone) {
  const proto::LayerStatistics bias = profiler_.Measure(snapshot_).layers(1);
  EXPECT_FALSE(bias.eligible());
  ASSERT_EQ(bias.options_size(), 1);
  EXPECT_EQ(bias.options(0).codec().kind(), proto::CODEC_RAW);
}

TEST_F(WindowProfilerTest, RawLosesNothing) {
  EXPECT_EQ(profiler_.Measure(snapshot_).layers(0).options(0).squared_error(), 0);
}

TEST_F(WindowProfilerTest, WireBytesOfRawOptionsAddUpToTheRawStep) {
  double bytes = profiler_.Sizes().fixed_wire_bytes();
  for (const proto::LayerStatistics& layer : profiler_.Sizes().layers()) {
    bytes += layer.options(0).wire_bytes();
  }
  EXPECT_DOUBLE_EQ(bytes, RawWireBytes(layout_));
}

TEST_F(WindowProfilerTest, AnInfiniteGradientMakesLossyErrorsNotANumber) {
  snapshot_.tensors[0][5] = std::numeric_limits<float>::infinity();
  const proto::LayerStatistics layer = profiler_.Measure(snapshot_).layers(0);
  for (const proto::OptionStatistics& option : layer.options()) {
    if (option.codec().kind() != proto::CODEC_RAW) {
      EXPECT_TRUE(std::isnan(option.squared_error()));
    }
  }
}

TEST_F(WindowProfilerTest, EveryFamilyIsMeasuredAsItsOwnErrorCodeDoes) {
  const proto::LayerStatistics layer = ProfilerOf(AllFamilies()).Measure(snapshot_).layers(0);
  std::set<proto::CodecKind> kinds;
  for (const proto::OptionStatistics& option : layer.options()) {
    kinds.insert(option.codec().kind());
    const CodecConfig codec = *ToCodecConfig(option.codec());
    const double expected =
        codec.kind == CodecKind::kLowRank
            ? LowRankSquaredErrors(snapshot_.tensors[0], 64, 64, {codec.rank})[0]
            : SquaredErrors({codec}, snapshot_.tensors[0])[0];
    EXPECT_NEAR(option.squared_error(), expected, 1e-9 * layer.squared_norm()) << ToString(codec);
  }
  EXPECT_EQ(kinds, (std::set<proto::CodecKind>{
                       proto::CODEC_RAW, proto::CODEC_FP16, proto::CODEC_MAXMIN, proto::CODEC_SIGN,
                       proto::CODEC_CLIPPED, proto::CODEC_TERNARY, proto::CODEC_DROP,
                       proto::CODEC_TOP_K, proto::CODEC_LOW_RANK}));
}

TEST_F(WindowProfilerTest, DropLosesTheNormToTheBit) {
  const proto::LayerStatistics layer = ProfilerOf(AllFamilies()).Measure(snapshot_).layers(0);
  const proto::OptionStatistics& last = *layer.options().rbegin();
  ASSERT_EQ(last.codec().kind(), proto::CODEC_DROP);
  EXPECT_EQ(last.squared_error(), layer.squared_norm());
}

TEST_F(WindowProfilerTest, OptionsThatSaveNothingAreLeftOutButTheReferenceIsNot) {
  proto::Compression compression = AllFamilies();
  compression.add_candidate_densities(1);  // places on top of all values
  compression.set_uniform_codec("topk");
  compression.set_uniform_density(1);
  compression.set_value_bits(32);
  const proto::LayerStatistics layer = ProfilerOf(compression).Sizes().layers(0);
  const double raw = layer.options(0).wire_bytes();
  EXPECT_EQ(layer.options(1).codec().density_ppm(), 1000000);
  EXPECT_GE(layer.options(1).wire_bytes(), raw);
  for (int k = 2; k < layer.options_size(); ++k) {
    EXPECT_LT(layer.options(k).wire_bytes(), raw) << layer.options(k).ShortDebugString();
  }
}

TEST_F(WindowProfilerTest, DefaultFamiliesAreTheQuantiserAndFp16) {
  std::set<proto::CodecKind> kinds;
  for (const proto::OptionStatistics& option : profiler_.Sizes().layers(0).options()) {
    kinds.insert(option.codec().kind());
  }
  EXPECT_EQ(kinds,
            (std::set<proto::CodecKind>{proto::CODEC_RAW, proto::CODEC_FP16, proto::CODEC_MAXMIN}));
  EXPECT_EQ(profiler_.Sizes().layers(0).options_size(), 2 + 7 * 3);
}

TEST_F(WindowProfilerTest, TimesComeFromTheGivenSpeedsAndAreUnknownWithout) {
  CodecSpeeds speeds;
  speeds.codecs = {{CodecConfig{}, 1e-9, 1e-9}};
  speeds.product_seconds = 1e-9;
  const proto::LayerStatistics layer = ProfilerOf(AllFamilies(), speeds).Sizes().layers(0);
  // 64 x 64 over 4 ranks: encoded once, decoded 3 / 4 twice.
  EXPECT_DOUBLE_EQ(layer.options(0).codec_seconds(), 4096 * (1e-9 + 1.5e-9));
  for (const proto::OptionStatistics& option : layer.options()) {
    const bool known =
        option.codec().kind() == proto::CODEC_RAW || option.codec().kind() == proto::CODEC_LOW_RANK;
    EXPECT_EQ(option.codec_seconds() > 0, known) << option.ShortDebugString();
  }
  for (const proto::OptionStatistics& option : profiler_.Sizes().layers(0).options()) {
    EXPECT_EQ(option.codec_seconds(), 0);
  }
}

TEST_F(WindowProfilerTest, CodecsAreThoseOfAllLayersOnce) {
  const std::vector<CodecConfig> codecs = ProfilerOf(AllFamilies()).Codecs();
  EXPECT_EQ(static_cast<int>(codecs.size()),
            ProfilerOf(AllFamilies()).Sizes().layers(0).options_size());
  EXPECT_EQ(codecs[0], CodecConfig{});
}

TEST(CodecChoice, GoesThereAndBack) {
  for (const proto::CodecChoice& choice : AllCandidates()) {
    auto config = ToCodecConfig(choice);
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(ToCodecChoice(*config).SerializeAsString(), choice.SerializeAsString());
  }
}

TEST(CodecChoice, AnImpossibleChoiceIsRefused) {
  proto::CodecChoice choice;
  choice.set_kind(proto::CODEC_MAXMIN);
  choice.set_bits(300);
  choice.set_bucket_size(512);
  EXPECT_FALSE(ToCodecConfig(choice).ok());
  choice.set_bits(9);
  EXPECT_FALSE(ToCodecConfig(choice).ok());
}

TEST(CodecChoice, APolicyForAnotherModelIsRefusedNamingBothLayers) {
  const proto::Join join = JoinOf(proto::ROLE_WORKER, 0);
  const BucketLayout layout = *BucketLayout::Create(*ToTensorInfos(join.tensors()), 1 << 20, 2);
  proto::CompressionPolicy policy;
  policy.add_layers()->set_name("fc.weight");
  EXPECT_FALSE(ToCodecPlan(policy, layout).ok());
  policy.add_layers()->set_name("other");
  EXPECT_THAT(std::string(ToCodecPlan(policy, layout).status().message()),
              testing::AllOf(testing::HasSubstr("other"), testing::HasSubstr("fc.bias")));
  policy.mutable_layers(1)->set_name("fc.bias");
  EXPECT_TRUE(ToCodecPlan(policy, layout).ok());
}

TEST(CodecChoice, AShapeThatOverflowsIsRefused) {
  proto::Join join;
  proto::TensorSpec& tensor = *join.add_tensors();
  for (int i = 0; i < 3; ++i) tensor.add_shape(int64_t{1} << 40);
  EXPECT_FALSE(ToTensorInfos(join.tensors()).ok());
}

}  // namespace
}  // namespace sluice
