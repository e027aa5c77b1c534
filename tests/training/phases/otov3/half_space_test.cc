#include "training/phases/otov3/half_space.h"

#include <cmath>

#include "base/random.h"
#include "gtest/gtest.h"

namespace sluice::otov3 {
namespace {

// Vectors of `size` elements, x and d.
struct Pair {
  std::vector<double> x, d;
  GroupSums sums;

  Pair(uint64_t seed, int size) {
    const RandomKey key(seed);
    const auto draw = [&](uint64_t i) {
      return static_cast<double>(key.Below(i, 2000001)) / 1e6 - 1;
    };
    for (int i = 0; i < size; ++i) {
      x.push_back(draw(static_cast<uint64_t>(2 * i)));
      d.push_back(draw(static_cast<uint64_t>(2 * i + 1)));
      sums.xx += x.back() * x.back();
      sums.xd += x.back() * d.back();
      sums.dd += d.back() * d.back();
    }
  }
};

// With no ceiling in the way, every lambda is in the window: the norm falls at a small enough rate, and the step goes
// down the loss, whose gradient is d.
TEST(HalfSpace, WithinTheWindowTheNormShrinksAndTheLossDescends) {
  HalfSpaceRule rule;
  rule.penalty = 1e-9;
  rule.ceiling = 1e18;
  int outward = 0;
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    const Pair pair(seed, 2 + static_cast<int>(seed % 7));
    if (pair.sums.xd >= 0) continue;
    ++outward;
    const double lambda = PenaltyOf(pair.sums, rule);
    const double norm = std::sqrt(pair.sums.xx);
    // step = -d - lambda x / |x|
    const double along_x = -pair.sums.xd - lambda * norm;
    const double along_d = -pair.sums.dd - lambda * pair.sums.xd / norm;
    EXPECT_LT(along_x, 0) << "seed " << seed;
    EXPECT_LT(along_d, 0) << "seed " << seed;
  }
  EXPECT_GT(outward, 500);
}

TEST(HalfSpace, TheCeilingIsNotPassed) {
  const HalfSpaceRule rule;
  EXPECT_EQ(PenaltyOf({1, -1, 100}, rule), rule.penalty * rule.ceiling);
}

TEST(HalfSpace, WhereTheOptimiserShrinksTheGroupItselfTheBaseIsEnough) {
  const HalfSpaceRule rule;
  EXPECT_EQ(PenaltyOf({1, 0.5, 1}, rule), rule.penalty);
}

TEST(HalfSpace, ProjectsWhatHasLeftTheHalfSpace) {
  HalfSpaceRule rule;
  rule.epsilon = 0.5;
  EXPECT_TRUE(MoveOf({1, 6, 36}, rule, 0.1, true).project);
  EXPECT_FALSE(MoveOf({1, 6, 36}, rule, 0.1, false).project) << "not yet";
  EXPECT_FALSE(MoveOf({1, 4, 16}, rule, 0.1, true).project);
  EXPECT_FALSE(MoveOf({1, 6, 36}, rule, 0, true).project) << "nothing moved";
}

// <trial, x> from the sums is that of the trial itself.
TEST(HalfSpace, TheDecisionIsThatOfTheTrialPoint) {
  HalfSpaceRule rule;
  rule.penalty = 0.5;
  rule.epsilon = 0.9;
  const double rate = 0.05;
  for (uint64_t seed = 0; seed < 500; ++seed) {
    const Pair pair(seed, 5);
    const HalfSpaceMove move = MoveOf(pair.sums, rule, rate, true);
    double along = 0;
    for (size_t i = 0; i < pair.x.size(); ++i) {
      along += (pair.x[i] - rate * pair.d[i] - move.shrink * pair.x[i]) * pair.x[i];
    }
    if (std::abs(along - 0.9 * pair.sums.xx) < 1e-9) continue;
    EXPECT_EQ(move.project, along < 0.9 * pair.sums.xx) << "seed " << seed;
  }
}

}  // namespace
}  // namespace sluice::otov3
