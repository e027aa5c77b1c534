#include <algorithm>
#include <functional>
#include <limits>
#include <vector>

#include "base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "policies/compression/compression_policy.h"
#include "policies/compression/error_table.h"
#include "policies/compression/exposed_time.h"
#include "policies/compression/plan.h"
#include "tests/policies/compression/window_builder.h"

namespace sluice {
namespace {

using testing::HasSubstr;
using testing::Not;

proto::CompressionPolicy Plan(const proto::Compression& config,
                              const proto::WindowStatistics& window) {
  auto policy = CreateCompressionPolicy(config);
  EXPECT_TRUE(policy.ok()) << policy.status();
  auto plan = (*policy)->Plan(window);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.value_or(proto::CompressionPolicy());
}

proto::Compression TimeConfig() {
  proto::Compression config = Config("lgreco_time");
  config.set_hysteresis(0.02);
  return config;
}

// Four layers of a million elements, one per bucket, 10 ms apart; backward ends with the last.
proto::WindowStatistics Window(double bytes_per_second) {
  proto::WindowStatistics window;
  proto::TimeStatistics& times = *window.mutable_times();
  for (int b = 0; b < 4; ++b) {
    proto::LayerStatistics layer =
        QuantisedLayer(TimeConfig(), "layer" + std::to_string(b), 1 << 20, 1);
    layer.set_bucket(b);
    *window.add_layers() = layer;
    times.add_ready_seconds(0.01 * (b + 1));
  }
  times.set_backward_seconds(0.04);
  times.set_bytes_per_second(bytes_per_second);
  return window;
}

bool AllRaw(const proto::CompressionPolicy& plan) {
  return std::all_of(plan.layers().begin(), plan.layers().end(), [](const proto::LayerChoice& l) {
    return l.codec().kind() == proto::CODEC_RAW;
  });
}

TEST(LGrecoTime, OnAFastLinkCompressionIsOffAndThePlanSaysSo) {
  const auto plan = Plan(TimeConfig(), Window(1e11));
  EXPECT_TRUE(AllRaw(plan));
  EXPECT_THAT(plan.reason(), HasSubstr("compression off: the link is not the bottleneck, 0.0 ms"));
  EXPECT_EQ(plan.error(), 0);
}

TEST(LGrecoTime, OnASlowLinkItCompressesAsLGrecoDoes) {
  const auto window = Window(1e5);
  const auto plan = Plan(TimeConfig(), window);
  EXPECT_LE(plan.predicted_bytes(), Plan(Config("lgreco"), window).predicted_bytes() * 1.001);
  EXPECT_LT(plan.exposed_seconds(), 0.2 * plan.raw_exposed_seconds());
}

TEST(LGrecoTime, BucketsThatHideBehindBackwardAreNotCompressed) {
  // Raw takes 4 ms a bucket: the first three are through before the next is ready.
  const auto plan = Plan(TimeConfig(), Window(1e9));
  for (int l = 0; l < 3; ++l) EXPECT_EQ(plan.layers(l).codec().kind(), proto::CODEC_RAW) << l;
  EXPECT_NE(plan.layers(3).codec().kind(), proto::CODEC_RAW);
}

TEST(LGrecoTime, TheWholeBudgetGoesToTheCriticalBuckets) {
  const auto window = Window(1e9);
  EXPECT_LT(
      Plan(TimeConfig(), window).exposed_seconds(),
      PredictExposed(window, *OptionsOf(window, Plan(Config("lgreco"), window))).exposed_seconds);
}

TEST(LGrecoTime, WithoutTimesItIsLGreco) {
  proto::WindowStatistics window = Window(1e9);
  window.clear_times();
  const auto plan = Plan(TimeConfig(), window);
  EXPECT_EQ(plan.predicted_bytes(), Plan(Config("lgreco"), window).predicted_bytes());
  EXPECT_THAT(plan.reason(), HasSubstr("no times are known yet"));
}

TEST(LGrecoTime, SlowEncodingIsNotWorthItsBytes) {
  proto::WindowStatistics window = Window(1e9);
  for (auto& layer : *window.mutable_layers()) {
    for (auto& option : *layer.mutable_options()) {
      if (option.codec().kind() != proto::CODEC_RAW) option.set_codec_seconds(1);
    }
  }
  EXPECT_TRUE(AllRaw(Plan(TimeConfig(), window)));
}

TEST(LGrecoTime, KeepsAPlanThatIsNearlyAsGood) {
  const auto maker = CreateCompressionPolicy(TimeConfig()).value();
  const auto window = Window(1e5);
  const auto plan = maker->Plan(window).value();
  EXPECT_TRUE(maker->Keeps(window, plan, maker->Plan(Window(1.01e5)).value()));
}

TEST(LGrecoTime, DropsAPlanThatIsSlowerOrBeyondTheBudget) {
  const auto maker = CreateCompressionPolicy(TimeConfig()).value();
  const auto window = Window(1e5);
  const auto fresh = maker->Plan(window).value();
  const auto raw = MakePlan(window, *RawOptions(window), "");
  EXPECT_FALSE(maker->Keeps(window, raw, fresh));
  proto::WindowStatistics louder = window;
  const OptionIndices chosen = *OptionsOf(window, fresh);
  for (int l = 0; l < 4; ++l) {
    louder.mutable_layers(l)->mutable_options(chosen[l])->set_squared_error(1e6);
  }
  EXPECT_FALSE(maker->Keeps(louder, fresh, maker->Plan(louder).value()));
}

// Small instances: every assignment can be tried.
proto::WindowStatistics SmallWindow(const proto::Compression& config, RandomKey key) {
  uint64_t counter = 0;
  const auto unit = [&] { return static_cast<double>(key.Bits(counter++) >> 11) * 0x1p-53; };
  proto::WindowStatistics window;
  proto::TimeStatistics& times = *window.mutable_times();
  const int buckets = 1 + static_cast<int>(3 * unit());
  double ready = 0;
  for (int b = 0; b < buckets; ++b) times.add_ready_seconds(ready += 0.02 * unit());
  times.set_backward_seconds(ready);
  times.set_bytes_per_second(std::pow(10.0, 5 + 4 * unit()));
  times.set_latency_seconds(1e-3 * unit());
  for (int l = 0; l < 4; ++l) {
    proto::LayerStatistics layer =
        QuantisedLayer(config, "layer" + std::to_string(l),
                       static_cast<int64_t>(std::exp2(10 + 8 * unit())), 1 + 10 * unit());
    layer.set_bucket(std::min(l * buckets / 4, buckets - 1));
    for (auto& option : *layer.mutable_options()) {
      option.set_squared_error(option.squared_error() * (0.5 + unit()));
      option.set_codec_seconds(option.codec().kind() == proto::CODEC_RAW ? 0 : 1e-4 * unit());
    }
    *window.add_layers() = layer;
  }
  return window;
}

double LeastExposed(const proto::WindowStatistics& window, double budget) {
  const ErrorTable errors(window, "l2");
  OptionIndices options(4);
  double least = std::numeric_limits<double>::infinity();
  const std::function<void(size_t)> visit = [&](size_t layer) {
    if (layer == options.size()) {
      if (errors.Sum(options) > budget) return;
      least = std::min(least, PredictExposed(window, options).exposed_seconds);
      return;
    }
    const int count = window.layers(static_cast<int>(layer)).options_size();
    for (options[layer] = 0; options[layer] < count; ++options[layer]) visit(layer + 1);
  };
  visit(0);
  return least;
}

TEST(LGrecoTime, IsNeverSlowerThanRawUniformOrLGrecoAndMostlyAsFastAsAnyPlan) {
  const proto::Compression config = TimeConfig();
  constexpr int kWindows = 300;
  int fastest = 0;
  for (int i = 0; i < kWindows; ++i) {
    const auto window = SmallWindow(config, RandomKey(7).With(static_cast<uint64_t>(i)));
    const auto plan = Plan(config, window);
    EXPECT_LE(plan.error(), plan.budget());
    // The gate leaves this much to raw.
    const double slack = 0.01 * (window.times().backward_seconds() + plan.raw_exposed_seconds());
    for (const char* other : {"none", "uniform", "lgreco"}) {
      proto::Compression rival = config;
      rival.set_policy(other);
      const auto options = OptionsOf(window, Plan(rival, window));
      ASSERT_TRUE(options.has_value());
      EXPECT_LE(plan.exposed_seconds(),
                PredictExposed(window, *options).exposed_seconds + slack + 1e-9)
          << other << " of window " << i;
    }
    fastest += plan.exposed_seconds() <= LeastExposed(window, plan.budget()) + slack + 1e-9;
  }
  EXPECT_GE(fastest, kWindows * 95 / 100);
}

}  // namespace
}  // namespace sluice
