#include "training/phases/otov3/scores.h"

#include <cmath>
#include <limits>

#include "base/random.h"
#include "gtest/gtest.h"

namespace sluice::otov3 {
namespace {

TEST(Scores, DhspgIsTheMeanOfBothNormalisedTerms) {
  // cosines 0.6 and -0.8, |x| / n of 1 and 0.5
  const std::vector<GroupSums> sums = {{4, 0.6 * 2 * 3, 9}, {1, -0.8 * 1 * 5, 25}};
  const std::vector<double> scores = DhspgScores(sums, {2, 2});
  const double a = std::sqrt(0.36 + 0.64);
  const double b1 = 1 / (1 + 1e-6), b2 = 1 / (0.5 + 1e-6), b = std::hypot(b1, b2);
  EXPECT_NEAR(scores[0], 0.5 * 0.6 / a + 0.5 * b1 / b, 1e-12);
  EXPECT_NEAR(scores[1], 0.5 * -0.8 / a + 0.5 * b2 / b, 1e-12);
}

TEST(Scores, HessoIsTheNegativeOfFiveNormalisedTerms) {
  const std::vector<GroupSums> sums = {{4, 3, 9}, {1, -2, 25}};
  const std::vector<double> scores = HessoScores(sums, {2, 4});
  const auto share = [](double one, double other) { return one / std::hypot(one, other); };
  const double cos1 = 3.0 / 6, cos2 = -2.0 / 5;
  EXPECT_NEAR(scores[0],
              -0.2 * (share(2, 1) + share(1, 0.25) + share(cos1 + 1, cos2 + 1) + share(3, 2) +
                      share(4.5, 2)),
              1e-12);
}

TEST(Scores, OfTwoEqualGroupsTheSmallerIsMoreRedundant) {
  const std::vector<GroupSums> sums = {{1, 0.1, 1}, {0.01, 0.01, 1}};
  for (const auto& scores : {DhspgScores(sums, {4, 4}), HessoScores(sums, {4, 4})}) {
    EXPECT_GT(scores[1], scores[0]);
  }
}

TEST(Scores, WhatIsZeroLeavesTheOthersTheirScores) {
  const std::vector<GroupSums> two = {{1, 0.1, 1}, {0.01, 0.01, 1}};
  const std::vector<GroupSums> three = {{1, 0.1, 1}, {0, 0, 3}, {0.01, 0.01, 1}};
  const std::vector<double> without = DhspgScores(two, {4, 4});
  const std::vector<double> with = DhspgScores(three, {4, 4, 4});
  EXPECT_EQ(with[0], without[0]);
  EXPECT_EQ(with[2], without[1]);
}

TEST(Scores, ScoresStayInTheirRange) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const RandomKey key(seed);
    std::vector<GroupSums> sums;
    for (uint64_t g = 0; g < 20; ++g) {
      const double x = 1e-3 + static_cast<double>(key.Below(3 * g, 1000));
      const double d = static_cast<double>(key.Below(3 * g + 1, 1000));
      const double cosine = static_cast<double>(key.Below(3 * g + 2, 2001)) / 1000 - 1;
      sums.push_back({x * x, cosine * x * d, d * d});
    }
    const std::vector<int64_t> elements(20, 7);
    for (double score : DhspgScores(sums, elements)) EXPECT_LE(std::abs(score), 1);
    for (double score : HessoScores(sums, elements)) {
      EXPECT_LE(score, 0);
      EXPECT_GE(score, -1);
    }
  }
}

TEST(Scores, WhatIsNotFiniteIsNotHidden) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<GroupSums> sums = {{1, 0.1, 1}, {nan, nan, nan}};
  EXPECT_TRUE(std::isnan(DhspgScores(sums, {4, 4})[1]));
  EXPECT_TRUE(std::isnan(HessoScores(sums, {4, 4})[1]));
}

TEST(Scores, AnAverageBeginsWithTheFirstScores) {
  std::vector<double> average;
  AddToAverage(std::vector<double>{1, 2}, 0.9, average);
  EXPECT_EQ(average, (std::vector<double>{1, 2}));
  AddToAverage(std::vector<double>{2, 2}, 0.9, average);
  EXPECT_DOUBLE_EQ(average[0], 1.1);
}

TEST(Scores, WhatIsZeroGoesFirstWhateverOthersCost) {
  const std::vector<GroupSums> sums = {{1, 0.1, 1}, {0, 0, 3}, {0.01, 0.01, 1}};
  std::vector<double> scores = DhspgScores(sums, {4, 4, 4});
  WeighByCost(std::vector<double>{1e6, 1, 1e6}, 2, scores);
  PutZerosFirst(sums, scores);
  EXPECT_GT(scores[1], scores[0]);
  EXPECT_GT(scores[1], scores[2]);
}

TEST(Scores, WhatIsZeroGoesBeforeTheOnlyOneThatIsNot) {
  const std::vector<GroupSums> sums = {{1, 1, 1}, {0, 0, 3}};
  std::vector<double> scores = DhspgScores(sums, {4, 4});
  EXPECT_EQ(scores[0], 1);
  PutZerosFirst(sums, scores);
  EXPECT_GT(scores[1], scores[0]);
}

TEST(Scores, WhatCostsMoreThanTheMeanIsMoreRedundantAndWhatCostsLessIsLess) {
  std::vector<double> scores = {0.5, -0.5, 0.5, -0.5, 0.1};
  WeighByCost(std::vector<double>{8, 8, 2, 2, 0}, 1, scores);  // mean 4
  EXPECT_DOUBLE_EQ(scores[0], 1);
  EXPECT_DOUBLE_EQ(scores[1], -0.25);
  EXPECT_DOUBLE_EQ(scores[2], 0.25);
  EXPECT_DOUBLE_EQ(scores[3], -1);
  EXPECT_DOUBLE_EQ(scores[4], 0.1);
}

}  // namespace
}  // namespace sluice::otov3
