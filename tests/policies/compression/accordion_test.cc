#include <cmath>
#include <limits>
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "policies/compression/compression_policy.h"
#include "tests/policies/compression/window_builder.h"

namespace sluice {
namespace {

using testing::HasSubstr;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

proto::Compression AccordionConfig(const std::string& policy = "accordion") {
  proto::Compression config = Config(policy);
  config.set_accordion_threshold(0.5);
  return config;
}

std::unique_ptr<CompressionPolicyMaker> Make(const proto::Compression& config) {
  auto policy = CreateCompressionPolicy(config);
  EXPECT_TRUE(policy.ok()) << policy.status();
  return std::move(policy).value();
}

proto::CompressionPolicy Plan(CompressionPolicyMaker& policy,
                              const proto::WindowStatistics& window) {
  auto plan = policy.Plan(window);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.value_or(proto::CompressionPolicy());
}

/// Two layers with these gradient norms, and a bias.
proto::WindowStatistics Window(double first, double second) {
  proto::WindowStatistics window;
  *window.add_layers() = QuantisedLayer(Config(), "fc.weight", 1 << 16, first * first);
  *window.add_layers() = QuantisedLayer(Config(), "conv.weight", 1 << 14, second * second);
  *window.add_layers() = RawLayer("fc.bias", 256);
  return window;
}

int Bits(const proto::CompressionPolicy& plan, int layer) {
  return plan.layers(layer).codec().bits();
}

double BytesOf(const proto::WindowStatistics& window, const proto::CompressionPolicy& plan,
               int layer) {
  for (const proto::OptionStatistics& option : window.layers(layer).options()) {
    if (option.codec().SerializeAsString() == plan.layers(layer).codec().SerializeAsString()) {
      return option.wire_bytes();
    }
  }
  ADD_FAILURE() << "layer " << layer << " has a codec that is not among its options";
  return 0;
}

TEST(Accordion, TheFirstWindowIsLight) {
  const auto plan = Plan(*Make(AccordionConfig()), Window(1, 1));
  EXPECT_EQ(Bits(plan, 0), 8);
  EXPECT_EQ(Bits(plan, 1), 8);
  EXPECT_EQ(plan.layers(2).codec().kind(), proto::CODEC_RAW);
  EXPECT_THAT(plan.reason(), HasSubstr("light on 2 of 2 layers"));
}

TEST(Accordion, LayersThatSettleGetTheReferenceAndOthersStayLight) {
  const auto policy = Make(AccordionConfig());
  Plan(*policy, Window(1, 1));
  const auto window = Window(0.9, 0.4);
  const auto plan = Plan(*policy, window);
  EXPECT_EQ(Bits(plan, 0), 4);
  EXPECT_EQ(Bits(plan, 1), 8);
  EXPECT_DOUBLE_EQ(plan.predicted_bytes(),
                   BytesOf(window, plan, 0) + BytesOf(window, plan, 1) + BytesOf(window, plan, 2));
  EXPECT_GT(plan.predicted_bytes(), plan.uniform_bytes());
  EXPECT_THAT(plan.reason(), HasSubstr("light on 1 of 2 layers"));
}

TEST(Accordion, AChangeOfTheThresholdIsAChangeUpAndDown) {
  for (const double factor : {0.5, 1.5, 4.0}) {
    const auto policy = Make(AccordionConfig());
    Plan(*policy, Window(2, 2));
    EXPECT_EQ(Bits(Plan(*policy, Window(2 * factor, 2)), 0), 8) << factor;
  }
  for (const double factor : {0.51, 1.0, 1.49}) {
    const auto policy = Make(AccordionConfig());
    Plan(*policy, Window(2, 2));
    EXPECT_EQ(Bits(Plan(*policy, Window(2 * factor, 2)), 0), 4) << factor;
  }
}

TEST(Accordion, ComparesWithTheWindowBeforeAlone) {
  const auto policy = Make(AccordionConfig());
  Plan(*policy, Window(1, 1));
  Plan(*policy, Window(4, 1));
  EXPECT_EQ(Bits(Plan(*policy, Window(4, 1)), 0), 4);
}

TEST(Accordion, AfterAnOldNormOfZeroItIsLight) {
  const auto policy = Make(AccordionConfig());
  Plan(*policy, Window(0, 1));
  EXPECT_EQ(Bits(Plan(*policy, Window(1, 1)), 0), 8);
}

TEST(Accordion, AnotherThresholdCanBeSet) {
  proto::Compression config = AccordionConfig();
  config.set_accordion_threshold(0);
  const auto policy = Make(config);
  Plan(*policy, Window(1, 1));
  EXPECT_EQ(Bits(Plan(*policy, Window(1, 1)), 0), 8);  // always light
}

TEST(Accordion, LightCostsAboutTwiceTheReferenceAtMost) {
  const auto window = Window(1, 1);
  const auto plan = Plan(*Make(AccordionConfig()), window);
  const double reference = window.layers(0).options(1).wire_bytes();
  EXPECT_GT(BytesOf(window, plan, 0), 1.5 * reference);
  EXPECT_LE(BytesOf(window, plan, 0), 2.1 * reference);
}

TEST(Accordion, LightIsOfTheReferencesKindWhereThatHelps) {
  auto window = Window(1, 1);
  proto::OptionStatistics* better = window.mutable_layers(0)->add_options();
  better->mutable_codec()->set_kind(proto::CODEC_TOP_K);
  better->mutable_codec()->set_density_ppm(1000);
  better->set_wire_bytes(100);
  better->set_squared_error(1e-30);
  const auto policy = Make(AccordionConfig());
  EXPECT_EQ(Plan(*policy, window).layers(0).codec().kind(), proto::CODEC_MAXMIN);
  // None of its own kind with less error: then another.
  for (auto& option : *window.mutable_layers(0)->mutable_options()) {
    if (option.codec().kind() == proto::CODEC_MAXMIN) option.set_squared_error(0.1);
  }
  EXPECT_EQ(Plan(*Make(AccordionConfig()), window).layers(0).codec().kind(), proto::CODEC_TOP_K);
}

TEST(Accordion, WithoutALighterOptionTheReferenceStays) {
  auto window = Window(1, 1);
  for (auto& option : *window.mutable_layers(0)->mutable_options()) {
    if (option.codec().kind() == proto::CODEC_MAXMIN) option.set_squared_error(0.1);
  }
  EXPECT_EQ(Bits(Plan(*Make(AccordionConfig()), window), 0), 4);
}

TEST(Accordion, ALayerOfNaNsIsRawAndLightInTheNextWindow) {
  auto window = Window(1, 1);
  window.mutable_layers(0)->set_squared_norm(kNan);
  for (auto& option : *window.mutable_layers(0)->mutable_options()) option.set_squared_error(kNan);
  const auto policy = Make(AccordionConfig());
  Plan(*policy, Window(1, 1));
  EXPECT_EQ(Plan(*policy, window).layers(0).codec().kind(), proto::CODEC_RAW);
  EXPECT_EQ(Bits(Plan(*policy, Window(1, 1)), 0), 8);
  EXPECT_EQ(Bits(Plan(*policy, Window(1, 1)), 0), 4);
}

TEST(Accordion, NeedsErrors) { EXPECT_TRUE(*PolicyNeedsErrors(AccordionConfig())); }

TEST(AccordionLGreco, NeedsErrorsAndAKnownMetric) {
  EXPECT_TRUE(*PolicyNeedsErrors(AccordionConfig("accordion+lgreco")));
  auto config = AccordionConfig("accordion+lgreco");
  config.set_metric("l7");
  EXPECT_EQ(CreateCompressionPolicy(config).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(AccordionLGreco, TheBudgetIsTheErrorOfAccordionsChoices) {
  const auto window = Window(1, 3);
  const auto light = Plan(*Make(AccordionConfig()), window);
  double error = 0;
  for (int l = 0; l < 2; ++l) {
    for (const auto& option : window.layers(l).options()) {
      if (option.codec().SerializeAsString() == light.layers(l).codec().SerializeAsString()) {
        error += std::sqrt(option.squared_error());
      }
    }
  }
  auto config = AccordionConfig("accordion+lgreco");
  config.set_alpha(1.25);
  const auto plan = Plan(*Make(config), window);
  EXPECT_NEAR(plan.budget(), 1.25 * error, 1e-12);
  EXPECT_LE(plan.error(), plan.budget());
}

TEST(AccordionLGreco, SettledLayersGiveLgrecosPlan) {
  const auto window = Window(1, 3);
  const auto policy = Make(AccordionConfig("accordion+lgreco"));
  Plan(*policy, window);
  const auto plan = Plan(*policy, window);
  const auto lgreco = Plan(*Make(Config("lgreco")), window);
  EXPECT_EQ(plan.predicted_bytes(), lgreco.predicted_bytes());
  EXPECT_EQ(plan.budget(), lgreco.budget());
  EXPECT_EQ(plan.uniform_bytes(), lgreco.uniform_bytes());
}

TEST(AccordionLGreco, NeverSendsMoreThanAccordionAndStaysInTheBudget) {
  for (uint64_t i = 0; i < 200; ++i) {
    const auto both = Make(AccordionConfig("accordion+lgreco"));
    const auto accordion = Make(AccordionConfig());
    for (uint64_t w = 0; w < 2; ++w) {
      // The same layers, other norms.
      auto window = RandomWindow(Config(), RandomKey(20260301).With(i));
      for (int l = 0; l < window.layers_size(); ++l) {
        auto& layer = *window.mutable_layers(l);
        layer.set_squared_norm(layer.squared_norm() * (1 + static_cast<double>(w) * (l % 3)));
      }
      const auto plan = Plan(*both, window);
      ASSERT_LE(plan.predicted_bytes(), Plan(*accordion, window).predicted_bytes() * (1 + 1e-12))
          << "window " << i;
      ASSERT_LE(plan.error(), plan.budget()) << "window " << i;
    }
  }
}

TEST(AccordionLGreco, ReasonNamesBothComparisons) {
  const auto policy = Make(AccordionConfig("accordion+lgreco"));
  Plan(*policy, Window(1, 1));
  EXPECT_THAT(Plan(*policy, Window(1, 9)).reason(),
              testing::MatchesRegex("accordion\\+lgreco: [0-9]+ % of accordion's bytes at [0-9]+ % "
                                    "of its error; accordion is light on 1 of 2 layers"));
}

TEST(Accordion, AResumedPolicyPlansAsTheOneItCameFrom) {
  for (const char* name : {"accordion", "accordion+lgreco"}) {
    const auto first = Make(AccordionConfig(name));
    EXPECT_EQ(first->SaveState(), "");
    Plan(*first, Window(10, 3));
    const auto resumed = Make(AccordionConfig(name));
    ASSERT_TRUE(resumed->RestoreState(first->SaveState()).ok());
    EXPECT_EQ(resumed->SaveState(), first->SaveState());
    const auto expected = Plan(*first, Window(11, 6));
    EXPECT_EQ(Plan(*resumed, Window(11, 6)).SerializeAsString(), expected.SerializeAsString());
    EXPECT_NE(Plan(*Make(AccordionConfig(name)), Window(11, 6)).SerializeAsString(),
              expected.SerializeAsString());
    EXPECT_EQ(resumed->RestoreState("123").code(), absl::StatusCode::kDataLoss);
  }
}

TEST(Accordion, OtherPoliciesRememberNothing) {
  const auto lgreco = Make(AccordionConfig("lgreco"));
  EXPECT_EQ(lgreco->SaveState(), "");
  EXPECT_TRUE(lgreco->RestoreState("").ok());
  EXPECT_EQ(lgreco->RestoreState("12345678").code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace sluice
