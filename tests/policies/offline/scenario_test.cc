#include "policies/offline/scenario.h"

#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Four ranks; bucket 0 has 300 elements, bucket 1 has 100.
proto::WindowStatistics AWindow() {
  proto::WindowStatistics window;
  window.set_window(7);
  window.set_world_size(4);
  window.set_fixed_wire_bytes(300);
  for (const auto& [bucket, elements] :
       std::vector<std::pair<int, int>>{{0, 100}, {0, 200}, {1, 100}}) {
    proto::LayerStatistics& layer = *window.add_layers();
    layer.set_bucket(bucket);
    layer.set_elements(elements);
    layer.add_options()->set_wire_bytes(6.0 * elements);
  }
  return window;
}

TEST(ParseNetwork, RatesAreThoseOfTc) {
  for (const auto& [text, bytes_per_second] :
       std::vector<std::pair<std::string, double>>{{"100mbit", 12.5e6},
                                                   {"1gbit", 125e6},
                                                   {"25gbit", 3.125e9},
                                                   {"1.5Gbit", 187.5e6},
                                                   {"8", 1},
                                                   {"8bit", 1},
                                                   {"64kbit", 8000},
                                                   {"1kibit", 128},
                                                   {"1mibit", 131072},
                                                   {"1tbit", 125e9},
                                                   {"10mbps", 10e6},  // bytes, as tc says
                                                   {"3bps", 3}}) {
    const auto network = ParseNetwork(text);
    ASSERT_TRUE(network.ok()) << network.status();
    EXPECT_DOUBLE_EQ(network->bytes_per_second, bytes_per_second) << text;
    EXPECT_EQ(network->latency_seconds, 0) << text;
  }
}

TEST(ParseNetwork, TheLatencyIsADuration) {
  EXPECT_DOUBLE_EQ(ParseNetwork("1gbit,0.2ms")->latency_seconds, 0.0002);
  EXPECT_DOUBLE_EQ(ParseNetwork("1gbit,50us")->latency_seconds, 50e-6);
  EXPECT_DOUBLE_EQ(ParseNetwork("1gbit,0")->latency_seconds, 0);
}

TEST(ParseNetwork, AnythingElseIsRefusedWithAnExample) {
  for (const std::string text :
       {"", "fast", "gbit", "1 gbit", "0gbit", "-1gbit", "1gbyte", "1ggbit", "1ibit", "1gbit,",
        "1gbit,2", "1gbit,-1ms", "1gbit,inf", "1gbit,1ms,2ms", "1.2.3gbit", "nan"}) {
    const absl::Status status = ParseNetwork(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr("1gbit,0.2ms")) << text;
  }
}

TEST(SetWorldSize, EncodingsScaleWithTheShareThatARankSends) {
  proto::WindowStatistics window = AWindow();
  ASSERT_TRUE(SetWorldSize(64, &window).ok());
  EXPECT_EQ(window.world_size(), 64);
  // 2 (N-1) / N: from 1.5 to 1.96875.
  EXPECT_DOUBLE_EQ(window.layers(0).options(0).wire_bytes(), 600 * 1.96875 / 1.5);
  EXPECT_DOUBLE_EQ(window.fixed_wire_bytes(), 300 * 63.0 / 3);
}

TEST(SetWorldSize, NeedsToKnowTheRecordedOne) {
  proto::WindowStatistics window = AWindow();
  for (const int recorded : {0, 1}) {
    window.set_world_size(recorded);
    EXPECT_EQ(SetWorldSize(8, &window).code(), absl::StatusCode::kFailedPrecondition);
  }
}

TEST(SetTimes, WithoutRecordedOnesBackwardIsSharedOutByElements) {
  proto::WindowStatistics window = AWindow();
  ASSERT_TRUE(SetTimes(Network{1e6, 1e-3}, 0.04, &window).ok());
  EXPECT_THAT(window.times().ready_seconds(), ElementsAre(0.03, 0.04));
  EXPECT_EQ(window.times().backward_seconds(), 0.04);
  EXPECT_EQ(window.times().bytes_per_second(), 1e6);
  EXPECT_EQ(window.times().latency_seconds(), 1e-3);
}

TEST(SetTimes, RecordedOnesAreScaledAndReplacedOneByOne) {
  proto::WindowStatistics window = AWindow();
  window.mutable_times()->add_ready_seconds(0.01);
  window.mutable_times()->add_ready_seconds(0.02);
  window.mutable_times()->set_backward_seconds(0.02);
  window.mutable_times()->set_bytes_per_second(5e6);
  proto::WindowStatistics slower = window;
  ASSERT_TRUE(SetTimes(std::nullopt, 0.08, &slower).ok());
  EXPECT_THAT(slower.times().ready_seconds(), ElementsAre(0.04, 0.08));
  EXPECT_EQ(slower.times().bytes_per_second(), 5e6);
  ASSERT_TRUE(SetTimes(Network{1e6, 0}, std::nullopt, &window).ok());
  EXPECT_THAT(window.times().ready_seconds(), ElementsAre(0.01, 0.02));
  EXPECT_EQ(window.times().bytes_per_second(), 1e6);
}

TEST(SetTimes, SaysWhatIsMissing) {
  proto::WindowStatistics window = AWindow();
  EXPECT_THAT(std::string(SetTimes(Network{1e6, 0}, std::nullopt, &window).message()),
              HasSubstr("how long backward takes"));
  EXPECT_THAT(std::string(SetTimes(std::nullopt, 0.04, &window).message()),
              HasSubstr("how fast the network was"));
  EXPECT_TRUE(SetTimes(std::nullopt, std::nullopt, &window).ok());
  EXPECT_FALSE(window.has_times());
}

TEST(SetAlpha, WithoutAScheduleItIsTheJobs) {
  proto::WindowStatistics window = AWindow();
  window.set_alpha(0.5);
  ASSERT_TRUE(SetAlpha(proto::Compression(), &window).ok());
  EXPECT_EQ(window.alpha(), 0);
}

TEST(SetAlpha, AScheduleIsAskedForTheStepOfThePlan) {
  proto::WindowStatistics window = AWindow();
  window.set_last_step(99);
  proto::Compression config;
  config.set_lead_steps(5);
  config.set_alpha_schedule("steps 0:1 105:2");
  ASSERT_TRUE(SetAlpha(config, &window).ok());
  EXPECT_EQ(window.alpha(), 2);
}

TEST(SetAlpha, OverAnUnknownLengthTheRecordedOneStays) {
  proto::WindowStatistics window = AWindow();
  proto::Compression config;
  config.set_alpha_schedule("linear 1 2");
  ASSERT_TRUE(SetAlpha(config, &window).ok());
  EXPECT_EQ(window.alpha(), 1);
  window.set_alpha(1.7);
  ASSERT_TRUE(SetAlpha(config, &window).ok());
  EXPECT_EQ(window.alpha(), 1.7);
}

}  // namespace
}  // namespace sluice
