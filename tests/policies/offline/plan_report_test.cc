#include "policies/offline/plan_report.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "policies/compression/compression_policy.h"
#include "tests/policies/compression/window_builder.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

proto::OptionStatistics Option(proto::CodecKind kind, int bits, double bytes, double error) {
  proto::OptionStatistics option;
  option.mutable_codec()->set_kind(kind);
  option.mutable_codec()->set_bits(bits);
  if (kind == proto::CODEC_MAXMIN) option.mutable_codec()->set_bucket_size(512);
  option.set_wire_bytes(bytes);
  option.set_squared_error(error * error);
  return option;
}

// One matrix with raw (4000 B), 2, 3, 4 and 8 bits, whose errors are 4, 2, 1 and 0.1, and its bias.
proto::WindowStatistics AWindow() {
  proto::WindowStatistics window;
  proto::LayerStatistics& matrix = *window.add_layers();
  matrix.set_name("fc.weight");
  matrix.set_elements(1000);
  matrix.set_eligible(true);
  matrix.set_squared_norm(25);
  *matrix.add_options() = Option(proto::CODEC_RAW, 0, 4000, 0);
  *matrix.add_options() = Option(proto::CODEC_MAXMIN, 2, 250, 4);
  *matrix.add_options() = Option(proto::CODEC_MAXMIN, 3, 375, 2);
  *matrix.add_options() = Option(proto::CODEC_MAXMIN, 4, 500, 1);
  *matrix.add_options() = Option(proto::CODEC_MAXMIN, 8, 1000, 0.1);
  proto::LayerStatistics& bias = *window.add_layers();
  bias.set_name("fc.bias");
  bias.set_elements(10);
  bias.set_squared_norm(1);
  bias.add_shape(10);
  *bias.add_options() = Option(proto::CODEC_RAW, 0, 40, 0);
  window.set_fixed_wire_bytes(60);
  return window;
}

proto::CompressionPolicy PlanOf(const proto::WindowStatistics& window, int option) {
  proto::CompressionPolicy plan;
  for (const auto& layer : window.layers()) {
    proto::LayerChoice& choice = *plan.add_layers();
    choice.set_name(layer.name());
    if (layer.eligible()) *choice.mutable_codec() = layer.options(option).codec();
  }
  return plan;
}

TEST(PlanReport, CountsAgainstRawAndUniform) {
  const auto report = *ReportPlan(Config(), AWindow(), PlanOf(AWindow(), 2));
  EXPECT_DOUBLE_EQ(report.bytes, 375 + 40 + 60);
  EXPECT_DOUBLE_EQ(report.raw_bytes, 4100);
  EXPECT_DOUBLE_EQ(*report.uniform_bytes, 600);
  EXPECT_DOUBLE_EQ(report.error, 2);
  EXPECT_DOUBLE_EQ(*report.budget, 1) << "the uniform reference's";
  EXPECT_EQ(report.layers[0].codec, "maxmin3/512");
  EXPECT_DOUBLE_EQ(report.layers[0].relative_error, 0.4);
  EXPECT_FALSE(report.time.has_value());
}

TEST(PlanReport, ThePlansOwnBudgetComesFirst) {
  proto::CompressionPolicy plan = PlanOf(AWindow(), 2);
  plan.set_budget(3);
  EXPECT_DOUBLE_EQ(*ReportPlan(Config(), AWindow(), plan)->budget, 3);
}

TEST(PlanReport, ExplainsByTheNextOptions) {
  const auto report = *ReportPlan(Config(), AWindow(), PlanOf(AWindow(), 3));
  EXPECT_EQ(report.layers[0].why,
            "cheaper: maxmin3/512 saves 125 B, adds 1 of error, but the budget has 0 left; "
            "finer: maxmin8/512 removes 0.9 of error for 500 B more");
  EXPECT_EQ(report.layers[1].why, "ineligible: one dimension");
}

TEST(PlanReport, ExplainsTheEndsOfTheList) {
  const auto raw = *ReportPlan(Config(), AWindow(), PlanOf(AWindow(), 0));
  EXPECT_THAT(raw.layers[0].why, HasSubstr("cheaper: maxmin8/512 saves 3000 B, adds 0.1 of error, "
                                           "and the budget has 1 left; nothing is lost"));
  const auto least = *ReportPlan(Config(), AWindow(), PlanOf(AWindow(), 1));
  EXPECT_THAT(least.layers[0].why, HasSubstr("nothing cheaper"));
}

TEST(PlanReport, OptionsThatNoPlannerTakesAreNoAlternative) {
  proto::WindowStatistics window = AWindow();
  window.mutable_layers(0)->mutable_options(2)->set_squared_error(
      std::numeric_limits<double>::quiet_NaN());
  window.mutable_layers(0)->mutable_options(1)->set_squared_error(26);  // above sending nothing
  const auto report = *ReportPlan(Config(), window, PlanOf(window, 3));
  EXPECT_THAT(report.layers[0].why, HasSubstr("nothing cheaper"));
}

TEST(PlanReport, TimesAreThoseOfTheModel) {
  proto::WindowStatistics window = AWindow();
  window.mutable_times()->add_ready_seconds(0.01);
  window.mutable_times()->set_backward_seconds(0.01);
  window.mutable_times()->set_bytes_per_second(1000);
  const auto report = *ReportPlan(Config(), window, PlanOf(window, 2));
  EXPECT_NEAR(report.time->exposed_seconds, 0.475, 1e-12);
  EXPECT_NEAR(report.raw_time->exposed_seconds, 4.1, 1e-12);
  EXPECT_NEAR(report.uniform_time->exposed_seconds, 0.6, 1e-12);
}

TEST(PlanReport, APlanOfAnotherModelIsRefused) {
  proto::CompressionPolicy plan = PlanOf(AWindow(), 2);
  plan.mutable_layers(0)->mutable_codec()->set_bits(7);
  EXPECT_EQ(ReportPlan(Config(), AWindow(), plan).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace sluice
