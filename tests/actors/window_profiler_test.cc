#include "actors/window_profiler.h"

#include <cmath>
#include <limits>
#include <map>

#include "actors/codec_choice.h"
#include "base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "policies/compression/compression_policy.h"
#include "tests/actors/job_fixture.h"

namespace sluice {
namespace {

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

TEST(CodecChoice, GoesThereAndBack) {
  for (const proto::CodecChoice& choice : CandidateCodecs(DefaultJob(2).compression())) {
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
