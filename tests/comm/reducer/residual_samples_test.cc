#include "comm/reducer/residual_samples.h"

#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

TEST(ResidualSamples, SmallTensorsSendFewOrNone) {
  EXPECT_EQ(ResidualSamples({"tiny", 15}), 0);
  EXPECT_EQ(ResidualSamples({"small", 160}), 10);
  EXPECT_EQ(ResidualSamples({"large", 1 << 20}), 256);
}

TEST(ResidualSamples, ElementsAreInRangeAndDifferBetweenWindowsAndTensors) {
  int same = 0;
  for (int64_t k = 0; k < 256; ++k) {
    const int64_t element = SampledElement(3, 1, k, 5000);
    EXPECT_GE(element, 0);
    EXPECT_LT(element, 5000);
    same += element == SampledElement(4, 1, k, 5000);
    same += element == SampledElement(3, 2, k, 5000);
  }
  EXPECT_LT(same, 10);
}

TEST(ResidualSamples, TheEstimateIsTheSquaredNormOnTheAverage) {
  std::vector<double> tensor;
  double squared = 0;
  for (int i = 0; i < 4096; ++i) {
    tensor.push_back((i % 7) * 0.5 - 1);
    squared += tensor.back() * tensor.back();
  }
  double mean = 0;
  constexpr int kWindows = 200;
  for (int64_t window = 0; window < kWindows; ++window) {
    std::vector<double> sums;
    for (int64_t k = 0; k < 256; ++k) sums.push_back(tensor[SampledElement(window, 0, k, 4096)]);
    mean += LostSquared(sums, 4096) / kWindows;
  }
  EXPECT_NEAR(mean / squared, 1, 0.02);
}

TEST(ResidualSamples, WithoutSamplesNothingIsKnown) { EXPECT_EQ(LostSquared({}, 10), 0); }

}  // namespace
}  // namespace sluice
