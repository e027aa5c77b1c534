#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "policies/compression/compression_policy.h"
#include "tests/policies/compression/window_builder.h"

namespace sluice {
namespace {

using testing::HasSubstr;

/// Layers and sizes alone, as before any window.
proto::WindowStatistics Sizes(const proto::Compression& config) {
  proto::WindowStatistics window;
  *window.add_layers() = QuantisedLayer(config, "w", 4096, 0);
  *window.add_layers() = RawLayer("b", 64);
  window.set_fixed_wire_bytes(10);
  for (auto& layer : *window.mutable_layers()) {
    for (auto& option : *layer.mutable_options()) option.clear_squared_error();
  }
  return window;
}

proto::CompressionPolicy Plan(const std::string& policy) {
  auto maker = CreateCompressionPolicy(Config(policy));
  EXPECT_TRUE(maker.ok()) << maker.status();
  auto plan = (*maker)->Plan(Sizes(Config(policy)));
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.value_or(proto::CompressionPolicy());
}

TEST(UniformPolicy, NeedsNoErrors) {
  EXPECT_FALSE(CreateCompressionPolicy(Config("uniform")).value()->NeedsErrors());
}

TEST(UniformPolicy, EligibleLayersGetTheReference) {
  const auto codec = Plan("uniform").layers(0).codec();
  EXPECT_EQ(codec.kind(), proto::CODEC_MAXMIN);
  EXPECT_EQ(codec.bits(), 4);
  EXPECT_EQ(codec.bucket_size(), 512);
}

TEST(UniformPolicy, IneligibleLayersStayRaw) {
  EXPECT_EQ(Plan("uniform").layers(1).codec().kind(), proto::CODEC_RAW);
}

TEST(UniformPolicy, BytesAreTheReferencesTheRawOnesAndTheFixedOnes) {
  const auto plan = Plan("uniform");
  EXPECT_DOUBLE_EQ(plan.predicted_bytes(), (16 + 2048 + 8 * 8) + (16 + 256) + 10);
  EXPECT_DOUBLE_EQ(plan.uniform_bytes(), plan.predicted_bytes());
}

TEST(UniformPolicy, ReasonNamesTheReference) {
  EXPECT_EQ(Plan("uniform").reason(),
            "uniform: 4 bits in buckets of 512 on 1 of 2 layers, as configured");
}

TEST(UniformPolicy, ReasonDescribesEveryCodec) {
  auto config = Config("uniform");
  config.set_uniform_density(0.001);
  config.set_uniform_rank(2);
  config.set_value_bits(16);
  const std::vector<std::pair<std::string, std::string>> described = {
      {"fp16", "fp16"},
      {"bf16", "bf16"},
      {"sign", "signs in buckets of 512"},
      {"clipped", "4 clipped bits in buckets of 512"},
      {"ternary", "three levels in buckets of 512"},
      {"topk", "the largest 0.1 % of the values with 16 bits each"},
      {"lowrank", "rank 2 with factors of 16 bits"}};
  for (const auto& [codec, text] : described) {
    config.set_uniform_codec(codec);
    auto plan = CreateCompressionPolicy(config).value()->Plan(Sizes(config));
    ASSERT_TRUE(plan.ok()) << plan.status();
    EXPECT_EQ(plan->reason(), "uniform: " + text + " on 1 of 2 layers, as configured");
    EXPECT_EQ(plan->layers(0).codec().SerializeAsString(),
              UniformCodec(config).SerializeAsString());
  }
}

TEST(UniformPolicy, MissingReferenceIsRefused) {
  auto window = Sizes(Config("uniform"));
  window.mutable_layers(0)->mutable_options()->Clear();
  window.mutable_layers(0)->add_options();
  const auto plan = CreateCompressionPolicy(Config("uniform")).value()->Plan(window);
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(plan.status().message()), HasSubstr("layer w lacks"));
}

TEST(NonePolicy, NeedsNoErrors) {
  EXPECT_FALSE(CreateCompressionPolicy(Config("none")).value()->NeedsErrors());
}

TEST(NonePolicy, EveryLayerIsRaw) {
  const auto plan = Plan("none");
  for (const auto& layer : plan.layers()) {
    EXPECT_EQ(layer.codec().kind(), proto::CODEC_RAW) << layer.name();
  }
}

TEST(NonePolicy, BytesAreRawAndUniformBytesTheReferences) {
  const auto plan = Plan("none");
  EXPECT_DOUBLE_EQ(plan.predicted_bytes(), (16 + 4 * 4096) + (16 + 256) + 10);
  EXPECT_DOUBLE_EQ(plan.uniform_bytes(), (16 + 2048 + 8 * 8) + (16 + 256) + 10);
}

TEST(NonePolicy, ReasonSaysThatItWasConfigured) {
  EXPECT_EQ(Plan("none").reason(), "none: every layer raw, as configured");
}

TEST(NonePolicy, NoLayersIsRefused) {
  const auto plan = CreateCompressionPolicy(Config("none")).value()->Plan({});
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace sluice
