#include "comm/low_rank/alternation.h"

#include <algorithm>
#include <cstdlib>

#include "base/random.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

// What odd steps send beyond even ones.
int64_t Gap(const std::vector<FactorSizes>& tensors, const std::vector<int>& parities) {
  int64_t gap = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const int64_t excess = tensors[i].right - tensors[i].left;
    gap += parities[i] == 0 ? excess : -excess;
  }
  return std::abs(gap);
}

TEST(Alternation, EvenAndOddStepsSendAboutTheSame) {
  for (uint64_t trial = 0; trial < 50; ++trial) {
    const RandomKey key = RandomKey(1).With(trial);
    std::vector<FactorSizes> tensors;
    int64_t largest = 0;
    for (uint64_t i = 0; i < 3 + trial; ++i) {
      tensors.push_back({static_cast<int64_t>(key.Below(2 * i, 2048)),
                         static_cast<int64_t>(key.Below(2 * i + 1, 25088))});
      largest = std::max(largest, std::abs(tensors.back().right - tensors.back().left));
    }
    EXPECT_LE(Gap(tensors, AlternationParities(tensors)), largest) << trial;
  }
}

TEST(Alternation, EqualTensorsAreSplitInHalves) {
  const std::vector<FactorSizes> tensors(10, FactorSizes{64, 576});
  const std::vector<int> parities = AlternationParities(tensors);
  EXPECT_EQ(std::count(parities.begin(), parities.end(), 0), 5);
  EXPECT_EQ(Gap(tensors, parities), 0);
}

TEST(Alternation, LayersOfResNet50BalanceToAPercent) {
  // out x in * kernel^2 of the convolutions, rank 4, and the classifier.
  std::vector<FactorSizes> tensors = {{64, 147}, {1000, 2048}};
  const auto stage = [&](int64_t in, int64_t width, int blocks) {
    for (int b = 0; b < blocks; ++b) {
      const int64_t from = b == 0 ? in : 4 * width;
      tensors.push_back({width, from});
      tensors.push_back({width, 9 * width});
      tensors.push_back({4 * width, width});
      if (b == 0) tensors.push_back({4 * width, from});
    }
  };
  stage(64, 64, 3);
  stage(256, 128, 4);
  stage(512, 256, 6);
  stage(1024, 512, 3);
  int64_t total = 0;
  for (FactorSizes& t : tensors) {
    t.left *= 4;
    t.right *= 4;
    total += t.left + t.right;
  }
  const std::vector<int> alike(tensors.size(), 0);
  EXPECT_GT(Gap(tensors, alike), total / 5) << "with one parity for all";
  EXPECT_LT(Gap(tensors, AlternationParities(tensors)), total / 100);
}

TEST(Alternation, NoTensorsNoParities) { EXPECT_TRUE(AlternationParities({}).empty()); }

}  // namespace
}  // namespace sluice
