#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "policies/compression/compression_policy.h"
#include "tests/policies/compression/window_builder.h"

namespace sluice {
namespace {

using testing::HasSubstr;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
/// Densities in units of a thousandth; the reference's is 10.
constexpr int kDensities[] = {1, 2, 5, 10, 20, 50, 100};

proto::Compression TopKConfig() {
  proto::Compression config = Config("global_topk");
  config.set_uniform_codec("topk");
  config.set_uniform_density(0.01);
  config.set_value_bits(32);
  config.add_candidate_families("topk");
  return config;
}

proto::CodecChoice TopK(int thousandths) {
  proto::CodecChoice codec;
  codec.set_kind(proto::CODEC_TOP_K);
  codec.set_bits(32);
  codec.set_density_ppm(1000 * thousandths);
  return codec;
}

/// Values in falling order of magnitude; what is not among the largest is the error.
proto::LayerStatistics SparseLayer(const std::string& name, std::vector<double> magnitudes) {
  std::sort(magnitudes.rbegin(), magnitudes.rend());
  const auto norm_from = [&](size_t first) {
    double sum = 0;
    for (size_t i = first; i < magnitudes.size(); ++i) sum += magnitudes[i] * magnitudes[i];
    return sum;
  };
  proto::LayerStatistics layer = RawLayer(name, static_cast<int64_t>(magnitudes.size()));
  layer.set_eligible(true);
  layer.set_squared_norm(norm_from(0));
  for (const int density : kDensities) {
    const size_t kept = magnitudes.size() * static_cast<size_t>(density) / 1000;
    proto::OptionStatistics* option = layer.add_options();
    *option->mutable_codec() = TopK(density);
    option->set_wire_bytes(8 * static_cast<double>(kept));
    option->set_squared_error(norm_from(kept));
  }
  return layer;
}

/// Random magnitudes with a tail, times `scale`.
std::vector<double> Magnitudes(RandomKey key, size_t count, double scale) {
  std::vector<double> values(count);
  for (size_t i = 0; i < count; ++i) {
    const double unit = (static_cast<double>(key.Bits(i) >> 11) + 1) * 0x1p-53;
    values[i] = scale * -std::log(unit);
  }
  return values;
}

proto::CompressionPolicy Plan(const proto::WindowStatistics& window) {
  auto policy = CreateCompressionPolicy(TopKConfig());
  EXPECT_TRUE(policy.ok()) << policy.status();
  auto plan = (*policy)->Plan(window);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.value_or(proto::CompressionPolicy());
}

int OptionOf(const proto::WindowStatistics& window, const proto::CompressionPolicy& plan, int l) {
  for (int c = 0; c < window.layers(l).options_size(); ++c) {
    if (window.layers(l).options(c).codec().SerializeAsString() ==
        plan.layers(l).codec().SerializeAsString()) {
      return c;
    }
  }
  ADD_FAILURE() << "layer " << l << " has a codec that is not among its options";
  return 0;
}

double SquaredError(const proto::WindowStatistics& window, const proto::CompressionPolicy& plan) {
  double error = 0;
  for (int l = 0; l < window.layers_size(); ++l) {
    error += window.layers(l).options(OptionOf(window, plan, l)).squared_error();
  }
  return error;
}

double UniformError(const proto::WindowStatistics& window) {
  double error = 0;
  for (const auto& layer : window.layers()) {
    for (const auto& option : layer.options()) {
      if (option.codec().density_ppm() == 10000) error += option.squared_error();
    }
  }
  return error;
}

proto::WindowStatistics RandomSparseWindow(uint64_t seed) {
  const RandomKey key = RandomKey(20260302).With(seed);
  proto::WindowStatistics window;
  window.set_fixed_wire_bytes(100);
  const int layers = 1 + static_cast<int>(key.Bits(0) % 8);
  for (int l = 0; l < layers; ++l) {
    const RandomKey own = key.With(static_cast<uint64_t>(l));
    const size_t count = 1000 * (1 + own.Bits(1u << 20) % 4);
    const double scale = std::exp2(static_cast<double>(own.Bits(1u << 21) % 8));
    *window.add_layers() = SparseLayer("l" + std::to_string(l), Magnitudes(own, count, scale));
  }
  return window;
}

TEST(GlobalTopK, LoudLayersGetHigherDensities) {
  proto::WindowStatistics window;
  for (uint64_t i = 0; i < 4; ++i) {
    *window.add_layers() = SparseLayer("quiet", Magnitudes(RandomKey(1).With(i), 4000, 1));
  }
  *window.add_layers() = SparseLayer("loud", Magnitudes(RandomKey(2), 4000, 3));
  *window.add_layers() = RawLayer("bias", 16);
  const auto plan = Plan(window);
  EXPECT_LT(plan.layers(0).codec().density_ppm(), 10000);
  EXPECT_GT(plan.layers(4).codec().density_ppm(), 10000);
  EXPECT_EQ(plan.layers(5).codec().kind(), proto::CODEC_RAW);
  EXPECT_THAT(plan.reason(), HasSubstr("of uniform's squared error at its bytes"));
}

TEST(GlobalTopK, NeverMoreBytesNorMoreErrorThanUniform) {
  for (uint64_t i = 0; i < 300; ++i) {
    const auto window = RandomSparseWindow(i);
    const auto plan = Plan(window);
    ASSERT_LE(plan.predicted_bytes(), plan.uniform_bytes()) << "window " << i;
    ASSERT_LE(SquaredError(window, plan), UniformError(window) * (1 + 1e-12)) << "window " << i;
  }
}

// Bytes are spent to the last step of any layer that fits.
TEST(GlobalTopK, EveryStepThatFitsIsTaken) {
  int looked_at = 0;
  for (uint64_t i = 0; i < 200; ++i) {
    const auto window = RandomSparseWindow(i);
    const auto plan = Plan(window);
    if (plan.reason().find("the uniform plan") != std::string::npos) continue;
    for (int up = 0; up < window.layers_size(); ++up) {
      const auto& options = window.layers(up).options();
      const int at = OptionOf(window, plan, up);
      if (at + 1 == options.size()) continue;
      const double more = options[at + 1].wire_bytes() - options[at].wire_bytes();
      ASSERT_GT(plan.predicted_bytes() + more, plan.uniform_bytes()) << "window " << i;
      ++looked_at;
    }
  }
  EXPECT_GT(looked_at, 100);
}

TEST(GlobalTopK, ErrorIsTheLagrangiansUpToTheStepThatDoesNotFit) {
  for (uint64_t i = 0; i < 200; ++i) {
    const auto window = RandomSparseWindow(i);
    const auto plan = Plan(window);
    const double bytes = plan.uniform_bytes() - window.fixed_wire_bytes();
    // The dual at any multiplier is below every plan of these bytes; the largest of many is close to the best.
    double bound = 0, largest_step = 0;
    for (double exponent = -20; exponent < 20; exponent += 0.05) {
      const double multiplier = std::exp2(exponent);
      double dual = -multiplier * bytes;
      for (const auto& layer : window.layers()) {
        double least = std::numeric_limits<double>::infinity();
        for (int c = 1; c < layer.options_size(); ++c) {
          least = std::min(
              least, layer.options(c).squared_error() + multiplier * layer.options(c).wire_bytes());
        }
        dual += least;
      }
      bound = std::max(bound, dual);
    }
    for (const auto& layer : window.layers()) {
      for (int c = 2; c < layer.options_size(); ++c) {
        largest_step = std::max(
            largest_step, layer.options(c - 1).squared_error() - layer.options(c).squared_error());
      }
    }
    const double error = SquaredError(window, plan);
    ASSERT_GE(error, bound * (1 - 1e-9)) << "window " << i;
    ASSERT_LE(error, bound * 1.01 + largest_step) << "window " << i;
  }
}

TEST(GlobalTopK, OneLayerKeepsTheReference) {
  proto::WindowStatistics window;
  *window.add_layers() = SparseLayer("only", Magnitudes(RandomKey(3), 4000, 1));
  EXPECT_EQ(Plan(window).layers(0).codec().density_ppm(), 10000);
}

TEST(GlobalTopK, OptionsAboveTheHullAreNotChosen) {
  proto::WindowStatistics window;
  auto layer = SparseLayer("l", Magnitudes(RandomKey(4), 4000, 1));
  proto::OptionStatistics* bad = layer.add_options();
  *bad->mutable_codec() = TopK(9);
  bad->set_wire_bytes(8 * 36);
  bad->set_squared_error(layer.squared_norm());
  *window.add_layers() = layer;
  *window.add_layers() = SparseLayer("m", Magnitudes(RandomKey(5), 4000, 1));
  EXPECT_NE(Plan(window).layers(0).codec().density_ppm(), 9000);
}

TEST(GlobalTopK, ALayerOfNaNsKeepsTheReference) {
  proto::WindowStatistics window;
  *window.add_layers() = SparseLayer("fine", Magnitudes(RandomKey(6), 4000, 1));
  *window.add_layers() = SparseLayer("broken", Magnitudes(RandomKey(7), 4000, 1));
  window.mutable_layers(1)->set_squared_norm(kNan);
  for (auto& option : *window.mutable_layers(1)->mutable_options()) option.set_squared_error(kNan);
  const auto plan = Plan(window);
  EXPECT_EQ(plan.layers(1).codec().density_ppm(), 10000);
  EXPECT_LE(plan.predicted_bytes(), plan.uniform_bytes());
}

TEST(GlobalTopK, NeedsTopKAsReferenceAndFamily) {
  auto config = TopKConfig();
  config.set_uniform_codec("quantizer");
  auto status = CreateCompressionPolicy(config).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("compression.uniform_codec is quantizer: set it to topk"));
  config = TopKConfig();
  config.clear_candidate_families();
  config.add_candidate_families("quantizer");
  status = CreateCompressionPolicy(config).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("candidate_families lacks topk: add it"));
}

}  // namespace
}  // namespace sluice
