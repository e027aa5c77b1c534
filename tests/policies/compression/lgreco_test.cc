#include <cmath>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "policies/compression/compression_policy.h"
#include "tests/policies/compression/window_builder.h"

namespace sluice {
namespace {

using testing::HasSubstr;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

proto::CompressionPolicy Plan(const proto::Compression& config,
                              const proto::WindowStatistics& window) {
  auto policy = CreateCompressionPolicy(config);
  EXPECT_TRUE(policy.ok()) << policy.status();
  auto plan = (*policy)->Plan(window);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.value_or(proto::CompressionPolicy());
}

absl::Status PlanStatus(const proto::WindowStatistics& window) {
  return CreateCompressionPolicy(Config()).value()->Plan(window).status();
}

/// What the option that the plan chose for a layer costs.
const proto::OptionStatistics& Chosen(const proto::WindowStatistics& window,
                                      const proto::CompressionPolicy& plan, int layer) {
  for (const proto::OptionStatistics& option : window.layers(layer).options()) {
    if (option.codec().SerializeAsString() == plan.layers(layer).codec().SerializeAsString()) {
      return option;
    }
  }
  ADD_FAILURE() << "layer " << layer << " has a codec that is not among its options";
  return proto::OptionStatistics::default_instance();
}

/// Three layers: a large quiet one, a small loud one, and a bias.
proto::WindowStatistics Window(const proto::Compression& config) {
  proto::WindowStatistics window;
  *window.add_layers() = QuantisedLayer(config, "fc.weight", 1 << 20, 1);
  *window.add_layers() = RawLayer("fc.bias", 512);
  *window.add_layers() = QuantisedLayer(config, "conv.weight", 1 << 12, 100);
  window.set_fixed_wire_bytes(96);
  return window;
}

TEST(LGreco, NeedsErrors) { EXPECT_TRUE(CreateCompressionPolicy(Config()).value()->NeedsErrors()); }

TEST(LGreco, LargeQuietLayersAreCompressedHarderThanSmallLoudOnes) {
  const auto plan = Plan(Config(), Window(Config()));
  EXPECT_LT(plan.layers(0).codec().bits(), 4);
  EXPECT_GT(plan.layers(2).codec().bits(), 4);
  EXPECT_LT(plan.predicted_bytes(), 0.85 * plan.uniform_bytes());
}

TEST(LGreco, LayersKeepOrderAndNames) {
  const auto plan = Plan(Config(), Window(Config()));
  ASSERT_EQ(plan.layers_size(), 3);
  EXPECT_EQ(plan.layers(0).name(), "fc.weight");
  EXPECT_EQ(plan.layers(1).name(), "fc.bias");
  EXPECT_EQ(plan.layers(2).name(), "conv.weight");
}

TEST(LGreco, IneligibleLayersStayRaw) {
  EXPECT_EQ(Plan(Config(), Window(Config())).layers(1).codec().kind(), proto::CODEC_RAW);
}

TEST(LGreco, PredictedBytesAreThoseOfTheChoicesAndTheFixedOnes) {
  const auto window = Window(Config());
  const auto plan = Plan(Config(), window);
  double bytes = 96;
  for (int l = 0; l < 3; ++l) bytes += Chosen(window, plan, l).wire_bytes();
  EXPECT_DOUBLE_EQ(plan.predicted_bytes(), bytes);
}

TEST(LGreco, BudgetInNormsIsTheSumOfTheReferenceNorms) {
  auto config = Config();
  config.set_alpha(1.5);
  const auto window = Window(config);
  const double sum = std::sqrt(window.layers(0).options(1).squared_error()) +
                     std::sqrt(window.layers(2).options(1).squared_error());
  EXPECT_DOUBLE_EQ(Plan(config, window).budget(), 1.5 * sum);
}

TEST(LGreco, BudgetInSquaresIsTheSumOfTheReferenceSquares) {
  auto config = Config();
  config.set_metric("l2sq");
  const auto window = Window(config);
  const double sum =
      window.layers(0).options(1).squared_error() + window.layers(2).options(1).squared_error();
  EXPECT_DOUBLE_EQ(Plan(config, window).budget(), sum);
}

TEST(LGreco, ReasonComparesWithUniform) {
  EXPECT_THAT(
      Plan(Config(), Window(Config())).reason(),
      testing::MatchesRegex("lgreco: [0-9]+ % of uniform's bytes at [0-9]+ % of its error"));
}

TEST(LGreco, ProvenPlansMeetTheirLowerBound) {
  const auto plan = Plan(Config(), Window(Config()));
  EXPECT_LE(plan.lower_bound_bytes(), plan.predicted_bytes());
  EXPECT_NEAR(plan.lower_bound_bytes(), plan.predicted_bytes(), 0.1);
}

TEST(LGreco, IdenticalLayersAreNeverWorseThanUniform) {
  // The uniform plan uses the budget to the last bit here: rounding must not lose it.
  proto::WindowStatistics window;
  for (int l = 0; l < 12; ++l) {
    *window.add_layers() = QuantisedLayer(Config(), "l" + std::to_string(l), 4096, 0.1);
  }
  const auto plan = Plan(Config(), window);
  EXPECT_LE(plan.predicted_bytes(), plan.uniform_bytes());
  EXPECT_LE(plan.error(), plan.budget());
}

TEST(LGreco, UniformIsKeptWhenNothingElseFits) {
  auto config = Config();
  proto::WindowStatistics window;
  for (int l = 0; l < 12; ++l) {
    proto::LayerStatistics layer = RawLayer("l" + std::to_string(l), 4096);
    layer.set_eligible(true);
    proto::OptionStatistics* option = layer.add_options();
    *option->mutable_codec() = UniformCodec(config);
    option->set_squared_error(0.1 / 3);
    option->set_wire_bytes(2048);
    *window.add_layers() = layer;
  }
  const auto plan = Plan(config, window);
  EXPECT_EQ(plan.predicted_bytes(), 12 * 2048);
  EXPECT_EQ(plan.error(), plan.budget());
}

TEST(LGreco, NeverLargerThanUniformAndNeverOverBudgetOnRandomStatistics) {
  for (const char* metric : {"l2", "l2sq"}) {
    auto config = Config();
    config.set_metric(metric);
    for (uint64_t i = 0; i < 1000; ++i) {
      const auto window = RandomWindow(config, RandomKey(20260102).With(i));
      const auto plan = Plan(config, window);
      ASSERT_LE(plan.predicted_bytes(), plan.uniform_bytes()) << metric << " window " << i;
      ASSERT_LE(plan.error(), plan.budget()) << metric << " window " << i;
      ASSERT_LE(plan.lower_bound_bytes(), plan.predicted_bytes()) << metric << " window " << i;
    }
  }
}

TEST(LGreco, ReportedErrorIsThatOfTheChoices) {
  for (uint64_t i = 0; i < 200; ++i) {
    const auto window = RandomWindow(Config(), RandomKey(20260103).With(i));
    const auto plan = Plan(Config(), window);
    double error = 0;
    for (int l = 0; l < window.layers_size(); ++l) {
      const auto& option = Chosen(window, plan, l);
      if (option.codec().kind() != proto::CODEC_RAW) error += std::sqrt(option.squared_error());
    }
    ASSERT_NEAR(plan.error(), error, 1e-9 * error) << "window " << i;
  }
}

TEST(LGreco, StricterBudgetsHoldToo) {
  auto config = Config();
  config.set_alpha(0.3);
  for (uint64_t i = 0; i < 300; ++i) {
    const auto plan = Plan(config, RandomWindow(config, RandomKey(20260104).With(i)));
    ASSERT_LE(plan.error(), plan.budget()) << "window " << i;
  }
}

TEST(LGreco, LargerBudgetsNeverSendMore) {
  auto twice = Config();
  twice.set_alpha(2);
  for (uint64_t i = 0; i < 300; ++i) {
    const auto window = RandomWindow(Config(), RandomKey(20260105).With(i));
    // A byte's 64th per layer is what rounding may cost.
    ASSERT_LE(Plan(twice, window).predicted_bytes(), Plan(Config(), window).predicted_bytes() + 0.5)
        << "window " << i;
  }
}

TEST(LGreco, ScaleOfTheGradientsDoesNotMatter) {
  for (uint64_t i = 0; i < 100; ++i) {
    const auto window = RandomWindow(Config(), RandomKey(20260106).With(i));
    auto scaled = window;
    for (auto& layer : *scaled.mutable_layers()) {
      layer.set_squared_norm(layer.squared_norm() * 0x1p-120);
      for (auto& option : *layer.mutable_options()) {
        option.set_squared_error(option.squared_error() * 0x1p-120);
      }
    }
    ASSERT_EQ(Plan(Config(), window).predicted_bytes(), Plan(Config(), scaled).predicted_bytes())
        << "window " << i;
  }
}

TEST(LGreco, SameStatisticsGiveTheSamePlanBitForBit) {
  for (uint64_t i = 0; i < 50; ++i) {
    const auto window = RandomWindow(Config(), RandomKey(20260107).With(i));
    ASSERT_EQ(Plan(Config(), window).SerializeAsString(),
              Plan(Config(), window).SerializeAsString());
  }
}

TEST(LGreco, OptionsWithoutAFiniteErrorAreNotChosen) {
  for (const double bad : {kNan, kInfinity, -1.0}) {
    auto window = Window(Config());
    for (int c = 0; c < window.layers(0).options_size(); ++c) {
      auto* option = window.mutable_layers(0)->mutable_options(c);
      if (option->codec().kind() == proto::CODEC_MAXMIN && option->codec().bits() < 4) {
        option->set_squared_error(bad);
      }
    }
    const auto plan = Plan(Config(), window);
    EXPECT_TRUE(plan.layers(0).codec().kind() != proto::CODEC_MAXMIN ||
                plan.layers(0).codec().bits() >= 4)
        << bad;
  }
}

TEST(LGreco, OptionsWorseThanSilenceAreNotChosen) {
  auto window = Window(Config());
  auto* layer = window.mutable_layers(2);
  // A quiet layer next to a loud one: any error fits in the budget.
  layer->set_squared_norm(1e-6);
  for (auto& option : *layer->mutable_options()) {
    option.set_squared_error(option.codec().bits() > 0 && option.codec().bits() <= 3 ? 2e-6 : 5e-7);
  }
  const auto plan = Plan(Config(), window);
  EXPECT_EQ(plan.layers(2).codec().bits(), 4);
}

TEST(LGreco, LayerOfNaNsIsSentRawWhileTheOthersPay) {
  auto window = Window(Config());
  for (auto& option : *window.mutable_layers(2)->mutable_options()) {
    if (option.codec().kind() != proto::CODEC_RAW) option.set_squared_error(kNan);
  }
  auto config = Config();
  config.set_alpha(4);
  const auto plan = Plan(config, window);
  EXPECT_EQ(plan.layers(2).codec().kind(), proto::CODEC_RAW);
  EXPECT_THAT(plan.reason(), HasSubstr("1 layer has no finite error"));
  EXPECT_LE(plan.predicted_bytes(), plan.uniform_bytes());
}

TEST(LGreco, WindowOfNaNsGivesUniformAndSaysWhy) {
  auto window = Window(Config());
  for (auto& layer : *window.mutable_layers()) {
    layer.set_squared_norm(kNan);
    for (auto& option : *layer.mutable_options()) option.set_squared_error(kNan);
  }
  const auto plan = Plan(Config(), window);
  EXPECT_EQ(plan.predicted_bytes(), plan.uniform_bytes());
  EXPECT_EQ(plan.layers(0).codec().bits(), 4);
  EXPECT_THAT(plan.reason(), HasSubstr("no layer has a finite error"));
}

TEST(LGreco, WindowOfZerosGivesUniformAndSaysWhy) {
  auto window = Window(Config());
  for (auto& layer : *window.mutable_layers()) {
    layer.set_squared_norm(0);
    for (auto& option : *layer.mutable_options()) option.set_squared_error(0);
  }
  const auto plan = Plan(Config(), window);
  EXPECT_EQ(plan.layers(0).codec().bits(), 4);
  EXPECT_EQ(plan.budget(), 0);
  EXPECT_THAT(plan.reason(), HasSubstr("every gradient of the window is zero"));
}

TEST(LGreco, ReferenceWithoutErrorAllowsOnlyExactOptions) {
  auto window = Window(Config());
  for (auto& layer : *window.mutable_layers()) {
    for (auto& option : *layer.mutable_options()) {
      if (option.codec().bits() >= 3) option.set_squared_error(0);
    }
  }
  const auto plan = Plan(Config(), window);
  EXPECT_EQ(plan.error(), 0);
  EXPECT_EQ(plan.layers(0).codec().bits(), 3);
  EXPECT_THAT(plan.reason(), HasSubstr("at no error"));
}

TEST(LGreco, SingleLayerGetsTheSmallestOptionWithinTheReferenceError) {
  proto::WindowStatistics window;
  *window.add_layers() = QuantisedLayer(Config(), "only", 1 << 16, 3);
  const auto plan = Plan(Config(), window);
  EXPECT_EQ(plan.layers(0).codec().bits(), 4);
  EXPECT_EQ(plan.layers(0).codec().bucket_size(), 512);
}

TEST(LGreco, NothingEligibleIsRawWithAReason) {
  proto::WindowStatistics window;
  *window.add_layers() = RawLayer("a", 10);
  const auto plan = Plan(Config(), window);
  EXPECT_EQ(plan.layers(0).codec().kind(), proto::CODEC_RAW);
  EXPECT_THAT(plan.reason(), HasSubstr("no layer may be compressed"));
}

TEST(LGreco, ErrorsNearTheLargestDoubleGiveAPlan) {
  auto window = Window(Config());
  auto config = Config();
  config.set_metric("l2sq");
  for (auto& layer : *window.mutable_layers()) {
    layer.set_squared_norm(1.7e308);
    for (auto& option : *layer.mutable_options()) option.set_squared_error(1.6e308);
  }
  EXPECT_THAT(Plan(config, window).reason(), HasSubstr("add up to infinity"));
}

TEST(LGreco, NoLayersIsRefused) {
  EXPECT_EQ(PlanStatus({}).code(), absl::StatusCode::kInvalidArgument);
}

TEST(LGreco, LayerWithoutRawIsRefusedByName) {
  auto window = Window(Config());
  window.mutable_layers(1)->clear_options();
  const absl::Status status = PlanStatus(window);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("layer fc.bias has no raw option"));
}

TEST(LGreco, EligibleLayerWithoutTheReferenceIsRefusedByName) {
  auto window = Window(Config());
  window.mutable_layers(0)->mutable_options(1)->mutable_codec()->set_bits(7);
  const absl::Status status = PlanStatus(window);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("fc.weight lacks the uniform reference"));
}

TEST(LGreco, BytesThatAreNotANumberFromZeroAreRefusedByName) {
  for (const double bad : {kNan, kInfinity, -1.0, 1e300}) {
    auto window = Window(Config());
    window.mutable_layers(2)->mutable_options(3)->set_wire_bytes(bad);
    const absl::Status status = PlanStatus(window);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad;
    EXPECT_THAT(std::string(status.message()), HasSubstr("conv.weight")) << bad;
  }
}

}  // namespace
}  // namespace sluice
