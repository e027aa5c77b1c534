#include "policies/compression/error_correction.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "base/random.h"
#include "comm/codec/codec.h"
#include "comm/codec/codec_error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "policies/compression/compression_policy.h"
#include "tests/policies/compression/window_builder.h"

namespace sluice {
namespace {

proto::CodecChoice Bits(int bits) {
  proto::CodecChoice codec;
  codec.set_kind(proto::CODEC_MAXMIN);
  codec.set_bits(bits);
  codec.set_bucket_size(512);
  return codec;
}

// Layers with raw, 4 bits of error 1 and 2 bits of error 10, sent with 4 bits.
struct Example {
  explicit Example(const std::vector<double>& lost) {
    for (double one : lost) {
      proto::LayerStatistics& layer = *window.add_layers();
      layer.set_squared_norm(100);
      if (one > 0) layer.set_lost_squared_error(one);
      layer.add_options();
      for (const auto& [bits, error] : std::vector<std::pair<int, double>>{{4, 1}, {2, 10}}) {
        proto::OptionStatistics& option = *layer.add_options();
        *option.mutable_codec() = Bits(bits);
        option.set_squared_error(error);
      }
      *in_force.add_layers()->mutable_codec() = Bits(4);
    }
  }
  proto::WindowStatistics window;
  proto::CompressionPolicy in_force;
};

TEST(ErrorCorrection, LayersAreWeighedByWhatWasLostOverWhatWasExpected) {
  Example example({6, 2});  // 4 on the average
  ErrorCorrection().Apply(example.in_force, example.window);
  EXPECT_DOUBLE_EQ(example.window.layers(0).error_ratio(), 1.5);
  EXPECT_DOUBLE_EQ(example.window.layers(0).options(2).squared_error(), 15);
  EXPECT_DOUBLE_EQ(example.window.layers(1).options(1).squared_error(), 0.5);
  EXPECT_EQ(example.window.layers(1).options(0).squared_error(), 0) << "raw loses nothing";
}

TEST(ErrorCorrection, AFactorThatAllLayersShareChangesNothing) {
  Example example({700, 700, 700});
  ErrorCorrection().Apply(example.in_force, example.window);
  for (const auto& layer : example.window.layers()) EXPECT_DOUBLE_EQ(layer.error_ratio(), 1);
}

TEST(ErrorCorrection, RatiosAreClamped) {
  std::vector<double> lost(100, 1);
  lost.front() = 1e-9;
  lost.back() = 1e6;
  Example example(lost);
  ErrorCorrection().Apply(example.in_force, example.window);
  EXPECT_EQ(example.window.layers(0).error_ratio(), 1 / ErrorCorrection::kMostRatio);
  EXPECT_EQ(example.window.layers(99).error_ratio(), ErrorCorrection::kMostRatio);
}

TEST(ErrorCorrection, NewRatiosCountHalf) {
  ErrorCorrection correction;
  Example first({6, 2}), second({4, 4});
  correction.Apply(first.in_force, first.window);
  correction.Apply(second.in_force, second.window);
  EXPECT_DOUBLE_EQ(second.window.layers(0).error_ratio(), std::sqrt(1.5));
  EXPECT_DOUBLE_EQ(second.window.layers(1).error_ratio(), std::sqrt(0.5));
}

TEST(ErrorCorrection, WhatIsNotMeasuredKeepsItsRatio) {
  ErrorCorrection correction;
  Example first({6, 2, 0}), second({0, 2, 0});
  correction.Apply(first.in_force, first.window);
  EXPECT_EQ(first.window.layers(2).error_ratio(), 0);
  EXPECT_DOUBLE_EQ(first.window.layers(2).options(1).squared_error(), 1);
  correction.Apply(second.in_force, second.window);
  EXPECT_DOUBLE_EQ(second.window.layers(0).error_ratio(), 1.5);
}

TEST(ErrorCorrection, RawLayersAndRawPlansTellNothing) {
  Example example({6, 2});
  *example.in_force.mutable_layers(0)->mutable_codec() = proto::CodecChoice();
  ErrorCorrection correction;
  correction.Apply(example.in_force, example.window);
  EXPECT_THAT(correction.ratios(), testing::ElementsAre(0, 1));
  Example raw({6, 2});
  ErrorCorrection other;
  other.Apply(proto::CompressionPolicy(), raw.window);
  EXPECT_THAT(other.ratios(), testing::ElementsAre(0, 0));
}

TEST(ErrorCorrection, GoesOnFromWhatWasSaved) {
  ErrorCorrection one, other;
  Example first({6, 2}), a({1, 3}), b({1, 3});
  one.Apply(first.in_force, first.window);
  other.Restore(one.ratios());
  one.Apply(a.in_force, a.window);
  other.Apply(b.in_force, b.window);
  EXPECT_EQ(one.ratios(), other.ratios());
}

// A cluster whose ranks' gradients are a signal that they share and noise of their own.
class Simulation {
 public:
  static constexpr int kRanks = 4;
  static constexpr int kElements = 4096;
  static constexpr int kSteps = 20;

  // Shares of noise in each layer's gradient.
  explicit Simulation(std::vector<double> noise) : noise_(std::move(noise)) {}

  int layers() const { return static_cast<int>(noise_.size()); }

  // What a rank encodes in a step: its gradient / N.
  std::vector<float> Input(int layer, int step, int rank) const {
    const RandomKey signal = RandomKey(11).With(static_cast<uint64_t>(layer));
    const RandomKey noise =
        signal.With(static_cast<uint64_t>(step)).With(static_cast<uint64_t>(rank));
    const double share = noise_[static_cast<size_t>(layer)];
    std::vector<float> values;
    for (uint64_t i = 0; i < kElements; ++i) {
      values.push_back(static_cast<float>(
          ((1 - share) * Normal(signal, i) + share * Normal(noise, i)) / kRanks));
    }
    return values;
  }

  // The exact mean of a step.
  std::vector<float> Mean(int layer, int step) const {
    std::vector<float> mean(kElements);
    for (int rank = 0; rank < kRanks; ++rank) Add(Input(layer, step, rank), mean);
    return mean;
  }

  // Squared error of the mean that scatter-reduce-allgather gives in a step: everybody but the owner, here rank 0,
  // encodes its input, and the owner the sum.
  double Lost(int layer, int step, int bits) const {
    std::vector<float> sum = Input(layer, step, 0);
    for (int rank = 1; rank < kRanks; ++rank) Add(Decoded(Input(layer, step, rank), bits), sum);
    const std::vector<float> result = Decoded(sum, bits), mean = Mean(layer, step);
    double lost = 0;
    for (size_t i = 0; i < mean.size(); ++i) lost += std::pow(double{result[i]} - mean[i], 2);
    return lost;
  }

  // What profilers report of a window of kSteps in which layer l was sent with bits[l].
  proto::WindowStatistics Window(const proto::Compression& config,
                                 const std::vector<int>& bits) const {
    proto::WindowStatistics window;
    for (int l = 0; l < layers(); ++l) {
      std::vector<float> tensor(kElements);
      for (int step = 0; step < kSteps; ++step) Add(Mean(l, step), tensor);
      double norm = 0;
      for (float& value : tensor) {
        value /= kSteps;
        norm += double{value} * value;
      }
      proto::LayerStatistics& layer = *window.add_layers();
      layer = QuantisedLayer(config, "layer" + std::to_string(l), kElements, norm);
      for (proto::OptionStatistics& option : *layer.mutable_options()) {
        if (option.codec().kind() != proto::CODEC_MAXMIN) continue;
        option.set_squared_error(SquaredErrors({MaxMin(option.codec().bits())}, tensor).front());
      }
      layer.set_lost_squared_error(Lost(l, kSteps - 1, bits[static_cast<size_t>(l)]));
    }
    return window;
  }

  // Of a plan in a later step, over all layers.
  double LostUnder(const proto::CompressionPolicy& plan) const {
    double lost = 0;
    for (int l = 0; l < layers(); ++l) {
      if (plan.layers(l).codec().kind() == proto::CODEC_MAXMIN) {
        lost += Lost(l, kSteps + 5, plan.layers(l).codec().bits());
      }
    }
    return lost;
  }

 private:
  static CodecConfig MaxMin(int bits) {
    CodecConfig config;
    config.kind = CodecKind::kMaxMin;
    config.bits = static_cast<uint8_t>(bits);
    config.bucket_size = 512;
    return config;
  }
  static double Normal(RandomKey key, uint64_t i) {
    double sum = -6;  // of twelve uniform ones: nearly normal
    for (uint64_t j = 0; j < 12; ++j) {
      sum += static_cast<double>(key.Bits(12 * i + j) >> 11) * 0x1p-53;
    }
    return sum;
  }
  static void Add(const std::vector<float>& more, std::vector<float>& to) {
    for (size_t i = 0; i < to.size(); ++i) to[i] += more[i];
  }
  static std::vector<float> Decoded(const std::vector<float>& values, int bits) {
    const CodecConfig config = MaxMin(bits);
    std::vector<std::byte> record(EncodedBytes(config, static_cast<int64_t>(values.size())));
    Encode(config, values, RandomKey(0), absl::MakeSpan(record));
    std::vector<float> decoded(values.size());
    EXPECT_TRUE(Decode(config, record, DecodeMode::kAssign, absl::MakeSpan(decoded)).ok());
    return decoded;
  }

  const std::vector<double> noise_;
};

proto::Compression SimulatedConfig() {
  proto::Compression config = Config("lgreco");
  config.set_metric("l2sq");
  config.clear_candidate_buckets();
  config.add_candidate_buckets(512);
  return config;
}

double ModelledAt(const proto::LayerStatistics& layer, int bits) {
  for (const auto& option : layer.options()) {
    if (option.codec().kind() == proto::CODEC_MAXMIN && option.codec().bits() == bits) {
      return option.squared_error();
    }
  }
  return 0;
}

TEST(ErrorCorrectionSimulation, ErrorsAtOtherWidthsAreInProportionToWhatIsReallyLost) {
  const Simulation simulation({0.1, 0.9});
  proto::WindowStatistics window = simulation.Window(SimulatedConfig(), {4, 4});
  proto::CompressionPolicy in_force;
  for (int l = 0; l < 2; ++l) *in_force.add_layers()->mutable_codec() = Bits(4);
  const auto share = [&](int bits) {
    return ModelledAt(window.layers(1), bits) / ModelledAt(window.layers(0), bits);
  };
  for (int bits : {3, 6}) {
    const double truth = simulation.Lost(1, Simulation::kSteps + 1, bits) /
                         simulation.Lost(0, Simulation::kSteps + 1, bits);
    EXPECT_GT(truth / share(bits), 3) << "what a noisy layer loses is underrated";
  }
  ErrorCorrection().Apply(in_force, window);
  for (int bits : {3, 6}) {
    const double truth = simulation.Lost(1, Simulation::kSteps + 1, bits) /
                         simulation.Lost(0, Simulation::kSteps + 1, bits);
    EXPECT_NEAR(share(bits) / truth, 1, 0.3) << bits << " bits";
  }
}

TEST(ErrorCorrectionSimulation, PlansKeepWithinTheReferencesLossInTruthToo) {
  const Simulation simulation({0.05, 0.2, 0.4, 0.6, 0.8, 0.95});
  const proto::Compression config = SimulatedConfig();
  proto::CompressionPolicy uniform;
  for (int l = 0; l < simulation.layers(); ++l) *uniform.add_layers()->mutable_codec() = Bits(4);
  const proto::WindowStatistics measured =
      simulation.Window(config, std::vector<int>(static_cast<size_t>(simulation.layers()), 4));
  proto::WindowStatistics corrected = measured;
  ErrorCorrection().Apply(uniform, corrected);
  const auto plan_of = [&](const proto::WindowStatistics& window) {
    return *(*CreateCompressionPolicy(config))->Plan(window);
  };
  const double allowed = simulation.LostUnder(uniform);
  const double blind = simulation.LostUnder(plan_of(measured));
  const double seeing = simulation.LostUnder(plan_of(corrected));
  EXPECT_LE(seeing, 1.1 * allowed);
  EXPECT_GT(blind, seeing) << "without correction noisy layers are compressed too hard";
}

}  // namespace
}  // namespace sluice
