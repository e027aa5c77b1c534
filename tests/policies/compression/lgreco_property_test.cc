// Laws of lgreco's plans on thousands of random windows, against brute force and against themselves.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "policies/compression/compression_policy.h"
#include "tests/policies/compression/window_builder.h"

namespace sluice {
namespace {

constexpr int kWindows = 2000;
// Sizes are rounded to 64ths of a byte, per layer.
constexpr double kRounding = 0.5;

proto::Compression FewCandidates(const std::string& metric) {
  proto::Compression config = Config();
  config.set_metric(metric);
  config.clear_candidate_bits();
  for (int bits : {2, 4, 7}) config.add_candidate_bits(bits);
  config.clear_candidate_buckets();
  config.add_candidate_buckets(512);
  return config;
}

class Draws {
 public:
  explicit Draws(RandomKey key) : key_(key) {}
  double Unit() { return static_cast<double>(key_.Bits(counter_++) >> 11) * 0x1p-53; }
  size_t Below(size_t bound) { return key_.Below(counter_++, bound); }

 private:
  RandomKey key_;
  uint64_t counter_ = 0;
};

// Up to five layers of five options, norms within two magnitudes so that they compete for the budget.
proto::WindowStatistics SmallWindow(const proto::Compression& config, RandomKey key) {
  Draws draws(key);
  proto::WindowStatistics window;
  window.set_fixed_wire_bytes(100);
  const int layers = 1 + static_cast<int>(draws.Below(5));
  for (int l = 0; l < layers; ++l) {
    const auto elements = static_cast<int64_t>(std::exp2(11 + 5 * draws.Unit()));
    proto::LayerStatistics& layer = *window.add_layers();
    layer = QuantisedLayer(config, "layer" + std::to_string(l), elements,
                           std::pow(10.0, 2 * draws.Unit()));
    for (proto::OptionStatistics& option : *layer.mutable_options()) {
      option.set_squared_error(option.squared_error() * (0.25 + 2 * draws.Unit()));
      option.set_wire_bytes(std::floor(option.wire_bytes() * (0.8 + 0.4 * draws.Unit())));
    }
  }
  return window;
}

double ErrorOf(const proto::OptionStatistics& option, const std::string& metric) {
  if (option.codec().kind() == proto::CODEC_RAW) return 0;
  return metric == "l2" ? std::sqrt(option.squared_error()) : option.squared_error();
}

// The least bytes of all assignments within `budget`.
double LeastBytes(const proto::WindowStatistics& window, const std::string& metric, double budget) {
  double least = std::numeric_limits<double>::infinity();
  std::vector<int> choice(static_cast<size_t>(window.layers_size()));
  for (;;) {
    double bytes = window.fixed_wire_bytes(), error = 0;
    for (int l = 0; l < window.layers_size(); ++l) {
      const proto::OptionStatistics& option = window.layers(l).options(choice[l]);
      bytes += option.wire_bytes();
      error += ErrorOf(option, metric);
    }
    if (error <= budget * (1 - 1e-12)) least = std::min(least, bytes);
    size_t l = 0;
    while (l < choice.size() && ++choice[l] == window.layers(static_cast<int>(l)).options_size()) {
      choice[l++] = 0;
    }
    if (l == choice.size()) return least;
  }
}

proto::CompressionPolicy Plan(const proto::Compression& config,
                              const proto::WindowStatistics& window) {
  auto plan = (*CreateCompressionPolicy(config))->Plan(window);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.value_or(proto::CompressionPolicy());
}

class LGrecoProperty : public testing::TestWithParam<std::string> {
 protected:
  RandomKey Key(int i) const { return RandomKey(20260401).With(static_cast<uint64_t>(i)); }
  const proto::Compression config_ = FewCandidates(GetParam());
};

TEST_P(LGrecoProperty, NoAssignmentWithinTheBudgetSendsLess) {
  for (int i = 0; i < kWindows; ++i) {
    proto::Compression config = config_;
    config.set_alpha(std::vector<double>{0.4, 1, 1.7}[static_cast<size_t>(i) % 3]);
    const auto window = SmallWindow(config, Key(i));
    const auto plan = Plan(config, window);
    ASSERT_LE(plan.error(), plan.budget()) << "window " << i;
    ASSERT_LE(plan.predicted_bytes(), LeastBytes(window, GetParam(), plan.budget()) + kRounding)
        << "window " << i;
  }
}

TEST_P(LGrecoProperty, NeverAboveUniformAtAlphaOneAndMore) {
  for (int i = 0; i < kWindows; ++i) {
    proto::Compression config = config_;
    config.set_alpha(1 + 0.001 * (i % 500));
    const auto plan = Plan(config, SmallWindow(config, Key(i)));
    ASSERT_LE(plan.predicted_bytes(), plan.uniform_bytes()) << "window " << i;
  }
}

TEST_P(LGrecoProperty, AnyScaleOfAllErrorsGivesPlansOfTheSameSize) {
  for (int i = 0; i < kWindows; ++i) {
    const auto window = SmallWindow(config_, Key(i));
    auto scaled = window;
    const double factor = std::pow(10.0, 20 * Draws(Key(i).With("scale")).Unit() - 10);
    for (auto& layer : *scaled.mutable_layers()) {
      layer.set_squared_norm(layer.squared_norm() * factor);
      for (auto& option : *layer.mutable_options()) {
        option.set_squared_error(option.squared_error() * factor);
      }
    }
    ASSERT_NEAR(Plan(config_, window).predicted_bytes(), Plan(config_, scaled).predicted_bytes(),
                kRounding)
        << "window " << i << " times " << factor;
  }
}

TEST_P(LGrecoProperty, TheOrderOfLayersAndOptionsDoesNotMatter) {
  for (int i = 0; i < kWindows; ++i) {
    const auto window = SmallWindow(config_, Key(i));
    auto shuffled = window;
    Draws draws(Key(i).With("shuffle"));
    const auto shuffle = [&](auto& list) {
      for (int j = list.size(); j > 1; --j) {
        list.SwapElements(j - 1, static_cast<int>(draws.Below(static_cast<size_t>(j))));
      }
    };
    shuffle(*shuffled.mutable_layers());
    for (auto& layer : *shuffled.mutable_layers()) shuffle(*layer.mutable_options());
    ASSERT_NEAR(Plan(config_, window).predicted_bytes(), Plan(config_, shuffled).predicted_bytes(),
                kRounding)
        << "window " << i;
  }
}

TEST_P(LGrecoProperty, DominatedOptionsChangeNothing) {
  for (int i = 0; i < kWindows; ++i) {
    const auto window = SmallWindow(config_, Key(i));
    auto more = window;
    Draws draws(Key(i).With("dominated"));
    for (auto& layer : *more.mutable_layers()) {
      proto::OptionStatistics worse =
          layer.options(static_cast<int>(draws.Below(static_cast<size_t>(layer.options_size()))));
      worse.mutable_codec()->set_kind(proto::CODEC_L2NORM);
      worse.set_squared_error((worse.squared_error() + 1e-3) * (1.01 + draws.Unit()));
      worse.set_wire_bytes(worse.wire_bytes() + 1);
      *layer.add_options() = worse;
    }
    const auto before = Plan(config_, window), after = Plan(config_, more);
    ASSERT_EQ(before.predicted_bytes(), after.predicted_bytes()) << "window " << i;
    for (int l = 0; l < window.layers_size(); ++l) {
      ASSERT_EQ(before.layers(l).codec().SerializeAsString(),
                after.layers(l).codec().SerializeAsString())
          << "window " << i << " layer " << l;
    }
  }
}

TEST_P(LGrecoProperty, MoreAlphaNeverMeansMoreBytes) {
  for (int i = 0; i < kWindows / 4; ++i) {
    const auto window = SmallWindow(config_, Key(i));
    double before = std::numeric_limits<double>::infinity();
    for (const double alpha : {0.1, 0.5, 0.9, 1.0, 1.1, 2.0, 8.0}) {
      auto scheduled = window;
      scheduled.set_alpha(alpha);
      const double bytes = Plan(config_, scheduled).predicted_bytes();
      ASSERT_LE(bytes, before + kRounding) << "window " << i << " alpha " << alpha;
      before = bytes;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Metrics, LGrecoProperty, testing::Values("l2", "l2sq"));

}  // namespace
}  // namespace sluice
