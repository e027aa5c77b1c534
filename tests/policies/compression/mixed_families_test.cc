// One knapsack over options of all families, on statistics that the profiler measured on tensors that suit
// one family each.

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "actors/codec_choice.h"
#include "actors/window_profiler.h"
#include "base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "policies/compression/compression_policy.h"
#include "tests/policies/compression/window_builder.h"

namespace sluice {
namespace {

constexpr int64_t kRows = 128, kCols = 256;
constexpr char kAllFamilies[][12] = {"cast",    "quantizer", "clipped", "sign",
                                     "ternary", "topk",      "lowrank", "drop"};

proto::Compression ConfigOf(const std::vector<std::string>& families) {
  auto config = Config();
  config.clear_candidate_families();
  for (const std::string& family : families) config.add_candidate_families(family);
  for (const double density : {0.001, 0.01, 0.02, 0.05, 0.1}) {
    config.add_candidate_densities(density);
  }
  for (const int rank : {1, 2, 4, 8, 16, 32}) config.add_candidate_ranks(rank);
  config.set_value_bits(16);
  config.set_error_feedback("on");
  return config;
}

std::vector<std::string> All() {
  return std::vector<std::string>(std::begin(kAllFamilies), std::end(kAllFamilies));
}

// About normal: a sum of uniform numbers.
float Normal(RandomKey key, int64_t i) {
  const uint64_t bits = key.Bits(i);
  float sum = 0;
  for (int k = 0; k < 4; ++k) sum += static_cast<float>(bits >> (16 * k) & 0xffff) / 65536 - 0.5f;
  return sum * std::sqrt(3.0f);
}

std::vector<float> Dense(uint64_t seed, float scale) {
  std::vector<float> values(kRows * kCols);
  for (size_t i = 0; i < values.size(); ++i) values[i] = scale * Normal(RandomKey(seed), i);
  return values;
}

// Three outer products and little else.
std::vector<float> OfLowRank() {
  std::vector<float> values = Dense(2, 0.005f);
  for (int k = 0; k < 3; ++k) {
    for (int64_t i = 0; i < kRows; ++i) {
      for (int64_t j = 0; j < kCols; ++j) {
        values[i * kCols + j] += Normal(RandomKey(3).With(k), i) * Normal(RandomKey(4).With(k), j);
      }
    }
  }
  return values;
}

// One value of 64 holds nearly everything.
std::vector<float> Sparse() {
  std::vector<float> values = Dense(5, 0.002f);
  for (size_t i = 0; i < values.size(); i += 64) values[i] = 3 * Normal(RandomKey(6), i);
  return values;
}

/// What the profiler of a job with these families reports.
proto::WindowStatistics Profile(const proto::Compression& config) {
  google::protobuf::RepeatedPtrField<proto::TensorSpec> tensors;
  for (const char* name : {"dense", "lowrank", "sparse", "quiet"}) {
    *tensors.Add() = Tensor({kRows, kCols});
    tensors.rbegin()->set_name(name);
  }
  const BucketLayout layout = *BucketLayout::Create(*ToTensorInfos(tensors), 1 << 20, 4);
  WindowSnapshot snapshot;
  snapshot.tensors = {Dense(1, 1), OfLowRank(), Sparse(), Dense(7, 1e-4f)};
  return WindowProfiler::Create(config, layout, tensors)->Measure(snapshot);
}

proto::CompressionPolicy Plan(const proto::Compression& config,
                              const proto::WindowStatistics& window) {
  auto plan = CreateCompressionPolicy(config).value()->Plan(window);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.value_or(proto::CompressionPolicy());
}

TEST(MixedFamilies, BeatEachSingleFamilyAtTheSameBudget) {
  for (const char* metric : {"l2", "l2sq"}) {
    auto config = ConfigOf(All());
    config.set_metric(metric);
    const auto mixed = Plan(config, Profile(config));
    EXPECT_LE(mixed.error(), mixed.budget());
    for (const char* family : kAllFamilies) {
      auto alone = ConfigOf({family});
      alone.set_metric(metric);
      const auto plan = Plan(alone, Profile(alone));
      EXPECT_DOUBLE_EQ(plan.budget(), mixed.budget()) << family;
      EXPECT_LT(mixed.predicted_bytes(), 0.9 * plan.predicted_bytes()) << metric << ' ' << family;
    }
  }
}

TEST(MixedFamilies, EachLayerGetsTheFamilyThatSuitsIt) {
  const auto config = ConfigOf(All());
  std::map<std::string, proto::CodecChoice> codecs;
  const auto plan = Plan(config, Profile(config));
  for (const auto& layer : plan.layers()) {
    codecs[layer.name()] = layer.codec();
  }
  EXPECT_GT(codecs["dense"].bucket_size(), 0) << codecs["dense"].ShortDebugString();
  EXPECT_EQ(codecs["lowrank"].kind(), proto::CODEC_LOW_RANK);
  EXPECT_EQ(codecs["sparse"].kind(), proto::CODEC_TOP_K);
  EXPECT_EQ(codecs["quiet"].kind(), proto::CODEC_DROP);
}

TEST(MixedFamilies, AnyReferenceSetsTheBudget) {
  for (const char* codec : {"fp16", "bf16", "sign", "clipped", "ternary", "topk", "lowrank"}) {
    auto config = ConfigOf(All());
    config.set_uniform_codec(codec);
    config.set_uniform_density(0.01);
    config.set_uniform_rank(4);
    const auto plan = Plan(config, Profile(config));
    EXPECT_GT(plan.budget(), 0) << codec;
    EXPECT_LE(plan.error(), plan.budget()) << codec;
    EXPECT_LE(plan.predicted_bytes(), plan.uniform_bytes()) << codec;
  }
}

TEST(MixedFamilies, ProfilersReportNoOptionWorseThanSilence) {
  // What they leave to the policy: one quantiser of 1 bit may be, drop never is.
  const auto window = Profile(ConfigOf(All()));
  for (const auto& layer : window.layers()) {
    for (const auto& option : layer.options()) {
      const auto kind = option.codec().kind();
      if (kind != proto::CODEC_DROP && kind != proto::CODEC_LOW_RANK &&
          kind != proto::CODEC_TOP_K) {
        continue;
      }
      EXPECT_LE(option.squared_error(), layer.squared_norm()) << option.ShortDebugString();
    }
  }
}

/// One layer with raw, the reference, and another option; the bytes of the last are the fewest.
proto::WindowStatistics OneLayer(const proto::Compression& config, const proto::CodecChoice& codec,
                                 double squared_error, double squared_norm) {
  proto::WindowStatistics window;
  proto::LayerStatistics& layer = *window.add_layers();
  layer = RawLayer("w", 4096);
  layer.set_eligible(true);
  layer.set_squared_norm(squared_norm);
  proto::OptionStatistics& reference = *layer.add_options();
  *reference.mutable_codec() = UniformCodec(config);
  reference.set_squared_error(0.25);
  reference.set_wire_bytes(2048);
  proto::OptionStatistics& option = *layer.add_options();
  *option.mutable_codec() = codec;
  option.set_squared_error(squared_error);
  option.set_wire_bytes(16);
  return window;
}

TEST(MixedFamilies, DropIsChosenWithinTheBudgetAndNotBeyond) {
  const auto config = ConfigOf(All());
  proto::CodecChoice drop;
  drop.set_kind(proto::CODEC_DROP);
  EXPECT_EQ(Plan(config, OneLayer(config, drop, 0.25, 0.25)).layers(0).codec().kind(),
            proto::CODEC_DROP);
  EXPECT_EQ(Plan(config, OneLayer(config, drop, 0.26, 0.26)).layers(0).codec().kind(),
            proto::CODEC_MAXMIN);
}

TEST(MixedFamilies, OptionsWorseThanSilenceAreLeftOutOfEveryFamily) {
  const auto config = ConfigOf(All());
  for (const proto::CodecKind kind :
       {proto::CODEC_FP16, proto::CODEC_CLIPPED, proto::CODEC_SIGN, proto::CODEC_TERNARY,
        proto::CODEC_TOP_K, proto::CODEC_LOW_RANK}) {
    proto::CodecChoice codec;
    codec.set_kind(kind);
    // Both within the budget.
    EXPECT_EQ(Plan(config, OneLayer(config, codec, 0.2, 0.1)).layers(0).codec().kind(),
              proto::CODEC_MAXMIN);
    EXPECT_EQ(Plan(config, OneLayer(config, codec, 0.1, 0.2)).layers(0).codec().kind(), kind);
  }
}

TEST(MixedFamilies, TimesDoNotChangeTheKnapsacksPlan) {
  const auto config = ConfigOf(All());
  auto window = Profile(config);
  const auto plan = Plan(config, window);
  double seconds = 1;
  for (auto& layer : *window.mutable_layers()) {
    for (auto& option : *layer.mutable_options()) option.set_codec_seconds(seconds *= 1.5);
  }
  EXPECT_EQ(Plan(config, window).SerializeAsString(), plan.SerializeAsString());
}

}  // namespace
}  // namespace sluice
