#include "training/phases/otov3/partition.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/random.h"
#include "gtest/gtest.h"

namespace sluice::otov3 {
namespace {

int Count(const std::vector<bool>& set) {
  return static_cast<int>(std::count(set.begin(), set.end(), true));
}

int CountOf(const std::vector<bool>& set, const ClassRange& range) {
  return static_cast<int>(
      std::count(set.begin() + range.first, set.begin() + range.first + range.units, true));
}

// Classes of up to 40 units, and scores of few values, so that there are ties.
struct RandomCase {
  std::vector<ClassRange> classes;
  std::vector<double> scores;
  PartitionRules rules;

  explicit RandomCase(uint64_t seed) {
    const RandomKey key(seed);
    int first = 0;
    const int count = 1 + static_cast<int>(key.Below(0, 6));
    for (int c = 0; c < count; ++c) {
      const int units = 1 + static_cast<int>(key.Below(static_cast<uint64_t>(10 + c), 40));
      classes.push_back({c, first, units});
      first += units;
    }
    for (int g = 0; g < first; ++g) {
      scores.push_back(static_cast<double>(key.Below(static_cast<uint64_t>(100 + g), 12)));
    }
    rules.target = static_cast<double>(key.Below(1, 100)) / 100;
    rules.divisor = 1 + static_cast<int>(key.Below(2, 9));
    rules.max_removed = static_cast<double>(key.Below(3, 101)) / 100;
  }
};

TEST(Partition, WithoutFurtherRulesTheMostRedundantGo) {
  const auto removed =
      *Partition(std::vector<double>{1, 5, 3, 4, 2}, {{{0, 0, 2}, {1, 2, 3}}}, {0.4, 1, 1}, {});
  EXPECT_EQ(removed, (std::vector<bool>{false, true, false, true, false}));
}

TEST(Partition, TiesGoInTheOrderOfClassAndUnit) {
  const auto removed =
      *Partition(std::vector<double>(6, 1.0), {{{0, 0, 3}, {1, 3, 3}}}, {0.5, 1, 0.7}, {});
  EXPECT_EQ(removed, (std::vector<bool>{true, true, false, true, false, false}));
}

TEST(Partition, AClassKeepsAMultipleOfTheDivisorTheNearest) {
  std::vector<double> scores(32);
  std::iota(scores.begin(), scores.end(), 0.0);
  const std::vector<ClassRange> one = {{0, 0, 32}};
  EXPECT_EQ(Count(*Partition(scores, one, {10.0 / 32, 8, 1}, {})), 8);   // 22 kept -> 24
  EXPECT_EQ(Count(*Partition(scores, one, {13.0 / 32, 8, 1}, {})), 16);  // 19 kept -> 16
  EXPECT_EQ(Count(*Partition(scores, one, {12.0 / 32, 8, 1}, {})), 8);   // 20 kept: half goes up
  EXPECT_EQ(Count(*Partition(scores, one, {0.99, 8, 1}, {})), 24) << "one multiple stays";
}

TEST(Partition, RequestedIsTheFloorAndNeverAll) {
  EXPECT_EQ(RequestedGroups(10, 0.35), 3);
  EXPECT_EQ(RequestedGroups(10, 0.9999), 9);
  EXPECT_EQ(RequestedGroups(10, 0), 0);
  EXPECT_EQ(RequestedGroups(50, 0.58), 29);  // a little less in fp64
}

TEST(Partition, TheRulesHoldForAnyScores) {
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    const RandomCase c(seed);
    const auto removed = *Partition(c.scores, c.classes, c.rules, {});
    int rounding = 0;
    for (const ClassRange& range : c.classes) {
      const int gone = CountOf(removed, range), kept = range.units - gone;
      rounding += c.rules.divisor;
      if (gone == 0) continue;
      EXPECT_EQ(kept % c.rules.divisor, 0) << "seed " << seed;
      EXPECT_GT(kept, 0);
      EXPECT_LE(gone, range.units * c.rules.max_removed) << "seed " << seed;
      // Of a class the most redundant go, ties in order.
      for (int i = range.first; i < range.first + range.units; ++i) {
        for (int j = range.first; j < range.first + range.units; ++j) {
          if (!removed[i] || removed[j]) continue;
          EXPECT_TRUE(c.scores[i] > c.scores[j] || (c.scores[i] == c.scores[j] && i < j));
        }
      }
    }
    const int requested = RequestedGroups(static_cast<int>(c.scores.size()), c.rules.target);
    EXPECT_LE(Count(removed), requested + (c.rules.divisor == 1 ? 0 : rounding)) << "seed " << seed;
  }
}

TEST(Partition, WithoutADivisorExactlyTheRequestedGo) {
  for (uint64_t seed = 0; seed < 500; ++seed) {
    RandomCase c(seed);
    c.rules.divisor = 1;
    c.rules.max_removed = 1;
    c.rules.target /= 2;
    const auto removed = *Partition(c.scores, c.classes, c.rules, {});
    int most = 0;  // every class keeps a unit
    for (const ClassRange& range : c.classes) most += range.units - 1;
    EXPECT_EQ(Count(removed),
              std::min(most, RequestedGroups(static_cast<int>(c.scores.size()), c.rules.target)));
  }
}

TEST(Partition, WhatIsForcedIsInAndTheRulesStillHold) {
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    const RandomCase c(seed);
    // A part of one result, and then other scores.
    std::vector<bool> forced = *Partition(c.scores, c.classes, c.rules, {});
    for (size_t g = 0; g < forced.size(); ++g) forced[g] = forced[g] && g % 3 != 0;
    std::vector<double> other = c.scores;
    for (double& score : other) score = -score;
    const auto removed = *Partition(other, c.classes, c.rules, forced);
    for (size_t g = 0; g < forced.size(); ++g) {
      EXPECT_TRUE(removed[g] || !forced[g]) << "seed " << seed;
    }
    for (const ClassRange& range : c.classes) {
      const int gone = CountOf(removed, range);
      if (gone == 0) continue;
      EXPECT_EQ((range.units - gone) % c.rules.divisor, 0) << "seed " << seed;
      EXPECT_GT(range.units, gone);
      EXPECT_LE(gone, range.units * c.rules.max_removed) << "seed " << seed;
    }
  }
}

TEST(Partition, AScoreThatIsNotFiniteIsAnError) {
  const std::vector<double> scores = {1, std::numeric_limits<double>::quiet_NaN()};
  EXPECT_EQ(Partition(scores, {{{0, 0, 2}}}, {0.5, 1, 1}, {}).status().code(),
            absl::StatusCode::kOutOfRange);
}

TEST(SelectValid, AGroupWithWhichNothingIsValidIsPassedOver) {
  // Two branches of two operators: 0 1 | 2 3. One of each pair must stay.
  const auto valid = [](const std::vector<bool>& removed) {
    return !(removed[0] && removed[1]) && !(removed[2] && removed[3]);
  };
  const auto removed = *SelectValid(std::vector<double>{4, 3, 2, 1}, 3, {}, valid);
  EXPECT_EQ(removed, (std::vector<bool>{true, false, true, false}));
}

TEST(SelectValid, StopsAtTheMost) {
  const auto removed =
      *SelectValid(std::vector<double>{1, 2, 2, 1}, 1, {}, [](const auto&) { return true; });
  EXPECT_EQ(removed, (std::vector<bool>{false, true, false, false}));
}

TEST(SelectValid, WhatIsForcedIsInAndCounted) {
  const auto valid = [](const std::vector<bool>& removed) { return !(removed[0] && removed[3]); };
  const auto removed =
      *SelectValid(std::vector<double>{4, 3, 2, 1}, 2, {false, false, false, true}, valid);
  EXPECT_EQ(removed, (std::vector<bool>{false, true, false, true}));
}

TEST(SelectValid, EveryAcceptedSetIsValid) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const RandomCase c(seed);
    const auto valid = [&](const std::vector<bool>& removed) {
      int64_t weight = 0;
      for (size_t g = 0; g < removed.size(); ++g) weight += removed[g] ? 1 + g % 5 : 0;
      return weight <= 20;
    };
    const auto removed = *SelectValid(c.scores, 9, {}, valid);
    EXPECT_TRUE(valid(removed));
    EXPECT_LE(Count(removed), 9);
  }
}

}  // namespace
}  // namespace sluice::otov3
