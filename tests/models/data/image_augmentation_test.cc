#include "models/data/image_augmentation.h"

#include <cmath>
#include <map>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using testing::ElementsAreArray;

// 1 channel of 3 x 4, and a normalisation that leaves pixels as they are.
constexpr int64_t kHeight = 3, kWidth = 4;
const std::vector<uint8_t> kPixels = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

std::vector<float> Changed(const ImageChange& change) {
  const PixelNormaliser normaliser({1, kHeight, kWidth, 2, {0}, {1.0f / 255}});
  std::vector<float> out(kPixels.size(), -1);
  normaliser.Write(kPixels.data(), change, out.data());
  for (float& value : out) value = std::round(value);
  return out;
}

TEST(PixelNormaliser, WithoutAChangeTheImageStays) {
  EXPECT_THAT(Changed({}), ElementsAreArray(kPixels));
}

TEST(PixelNormaliser, AMirroredImageHasItsRowsReversed) {
  EXPECT_THAT(Changed({0, 0, true}), ElementsAreArray({4, 3, 2, 1, 8, 7, 6, 5, 12, 11, 10, 9}));
}

TEST(PixelNormaliser, WhatIsMovedInFromOutsideIsBlack) {
  EXPECT_THAT(Changed({1, -2, false}), ElementsAreArray({0, 0, 5, 6, 0, 0, 9, 10, 0, 0, 0, 0}));
  EXPECT_THAT(Changed({-1, 1, true}), ElementsAreArray({0, 0, 0, 0, 3, 2, 1, 0, 7, 6, 5, 0}));
}

// Against the definition, pixel by pixel.
TEST(PixelNormaliser, EveryMoveIsAsDefined) {
  for (int64_t down = -5; down <= 5; ++down) {
    for (int64_t right = -6; right <= 6; ++right) {
      for (bool mirrored : {false, true}) {
        std::vector<float> expected;
        for (int64_t y = down; y < kHeight + down; ++y) {
          for (int64_t x = right; x < kWidth + right; ++x) {
            const bool inside = y >= 0 && y < kHeight && x >= 0 && x < kWidth;
            const int64_t column = mirrored ? kWidth - 1 - x : x;
            expected.push_back(inside ? kPixels[y * kWidth + column] : 0);
          }
        }
        EXPECT_THAT(Changed({down, right, mirrored}), ElementsAreArray(expected))
            << down << " " << right << " " << mirrored;
      }
    }
  }
}

TEST(DrawChange, EveryMoveAndBothSidesAreEquallyLikely) {
  constexpr int kDraws = 50000;
  std::map<int64_t, int> down, right;
  int mirrored = 0;
  for (int i = 0; i < kDraws; ++i) {
    const ImageChange change = DrawChange({2, true, 0}, RandomKey(1).With(i));
    ++down[change.down];
    ++right[change.right];
    mirrored += change.mirrored;
  }
  // 5 standard deviations; the key is fixed, so this holds always or never.
  const double slack = 5 * std::sqrt(kDraws * 0.2 * 0.8);
  for (const auto& counts : {down, right}) {
    ASSERT_EQ(counts.size(), 5u);
    EXPECT_EQ(counts.begin()->first, -2);
    for (const auto& [move, count] : counts) EXPECT_NEAR(count, kDraws / 5, slack) << move;
  }
  EXPECT_NEAR(mirrored, kDraws / 2, 5 * std::sqrt(kDraws * 0.25));
}

TEST(DrawChange, WithoutAugmentationNothingIsChanged) {
  for (int i = 0; i < 100; ++i) {
    const ImageChange change = DrawChange({}, RandomKey(1).With(i));
    EXPECT_EQ(change.down, 0);
    EXPECT_EQ(change.right, 0);
    EXPECT_FALSE(change.mirrored);
  }
}

class DrawMixTest : public testing::TestWithParam<double> {};

INSTANTIATE_TEST_SUITE_P(Alphas, DrawMixTest, testing::Values(0.01, 0.2, 1.0, 8.0));

// Beta(a, a) has mean 1/2 and variance 1 / (4 (2 a + 1)).
TEST_P(DrawMixTest, WeightsHaveTheMomentsOfTheBetaDistribution) {
  constexpr int kDraws = 50000;
  double sum = 0, squares = 0;
  for (int i = 0; i < kDraws; ++i) {
    const Mix mix = DrawMix(GetParam(), 7, RandomKey(2).With(i));
    ASSERT_GE(mix.weight, 0);
    ASSERT_LE(mix.weight, 1);
    sum += mix.weight;
    squares += mix.weight * mix.weight;
  }
  const double mean = sum / kDraws, variance = 1 / (4 * (2 * GetParam() + 1));
  EXPECT_NEAR(mean, 0.5, 5 * std::sqrt(variance / kDraws));
  EXPECT_NEAR(squares / kDraws - mean * mean, variance, 0.01 * variance + 5e-4);
}

TEST(DrawMix, EverySampleIsEquallyLikelyToBeThePartner) {
  constexpr int kDraws = 70000, kSamples = 7;
  int count[kSamples] = {};
  for (int i = 0; i < kDraws; ++i) ++count[DrawMix(1, kSamples, RandomKey(5).With(i)).partner];
  for (int n : count) EXPECT_NEAR(n, kDraws / kSamples, 5 * std::sqrt(kDraws / kSamples));
}

}  // namespace
}  // namespace sluice
