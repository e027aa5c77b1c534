#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "comm/codec/codec.h"
#include "gtest/gtest.h"
#include "tests/comm/codec/codec_cases.h"

namespace sluice {
namespace {

class StochasticTest : public ::testing::TestWithParam<CodecConfig> {};

TEST_P(StochasticTest, TheMeanOverManyKeysIsTheInput) {
  constexpr int kDraws = 4000;
  const int64_t n = 96;
  const std::vector<float> values = Gaussian(RandomKey(1), n);
  std::vector<double> mean(n, 0.0);
  double step = 0;  // at least the largest error seen
  for (int draw = 0; draw < kDraws; ++draw) {
    const std::vector<float> decoded =
        DecodeRecord(GetParam(), EncodeRecord(GetParam(), values, RandomKey(2).With(draw)), n);
    for (int64_t i = 0; i < n; ++i) {
      const double error = static_cast<double>(decoded[i]) - values[i];
      mean[i] += error / kDraws;
      step = std::max(step, std::fabs(error));
    }
  }
  // A draw deviates by half a step at most; six standard errors of the mean.
  double total = 0;
  for (int64_t i = 0; i < n; ++i) {
    EXPECT_NEAR(mean[i], 0, 3 * step / std::sqrt(kDraws)) << "element " << i << ": " << values[i];
    total += mean[i];
  }
  EXPECT_NEAR(total / n, 0, 3 * step / std::sqrt(kDraws * n)) << "mean over elements";
}

TEST_P(StochasticTest, AnotherKeyRoundsOtherwise) {
  const std::vector<float> values = Gaussian(RandomKey(3), 1000);
  EXPECT_NE(EncodeRecord(GetParam(), values, RandomKey(4)),
            EncodeRecord(GetParam(), values, RandomKey(5)));
}

TEST_P(StochasticTest, NearestRoundingIgnoresTheKey) {
  CodecConfig nearest = GetParam();
  nearest.stochastic = false;
  const std::vector<float> values = Gaussian(RandomKey(3), 1000);
  EXPECT_EQ(EncodeRecord(nearest, values, RandomKey(4)),
            EncodeRecord(nearest, values, RandomKey(5)));
}

TEST_P(StochasticTest, NeighboursRoundIndependently) {
  // All but the first two elements lie halfway between two levels.
  CodecConfig config = GetParam();
  if (config.kind != CodecKind::kMaxMin) return;  // only max-min has a grid that can be aimed at
  config.bucket_size = 65536;
  const float top = static_cast<float>((1 << config.bits) - 1);
  std::vector<float> values(20002, 0.5f);
  values[0] = 0.0f;
  values[1] = top;
  const std::vector<float> decoded =
      DecodeRecord(config, EncodeRecord(config, values), values.size());
  const int64_t n = static_cast<int64_t>(values.size()) - 2;
  int64_t ups = 0;
  for (int64_t i = 2; i < n + 2; ++i) ups += decoded[i] > 0.5f;
  EXPECT_NEAR(ups, n / 2, 5 * std::sqrt(n / 4.0));
  for (int64_t lag : {1, 2, 3, 4, 5, 8, 16, 32}) {
    int64_t equal = 0;
    for (int64_t i = 2; i + lag < n + 2; ++i) equal += decoded[i] == decoded[i + lag];
    EXPECT_NEAR(equal, (n - lag) / 2, 5 * std::sqrt(n / 4.0)) << "lag " << lag;
  }
}

std::vector<CodecConfig> StochasticCodecs() {
  std::vector<CodecConfig> codecs;
  for (const CodecConfig& config : AllCodecs()) {
    if (config.stochastic) codecs.push_back(config);
  }
  return codecs;
}

INSTANTIATE_TEST_SUITE_P(StochasticCodecs, StochasticTest, ::testing::ValuesIn(StochasticCodecs()),
                         [](const auto& info) { return TestName(info.param); });

}  // namespace
}  // namespace sluice
