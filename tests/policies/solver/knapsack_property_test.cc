// Random instances against brute force and against themselves. SLUICE_TEST_SEED replays another
// seed.
#include <algorithm>
#include <cstdlib>
#include <numeric>

#include "gtest/gtest.h"
#include "policies/solver/knapsack.h"
#include "tests/policies/solver/brute_force.h"
#include "tests/policies/solver/random_instance.h"

namespace sluice {
namespace {

constexpr int kInstances = 4000;

class KnapsackProperty : public testing::Test {
 protected:
  KnapsackProperty() {
    if (const char* seed = std::getenv("SLUICE_TEST_SEED"))
      seed_ = std::strtoull(seed, nullptr, 10);
    RecordProperty("seed", std::to_string(seed_));
    std::printf("seed %llu\n", static_cast<unsigned long long>(seed_));
  }

  RandomKey Key(int i) const { return RandomKey(seed_).With(static_cast<uint64_t>(i)); }
  KnapsackInstance Instance(int i) const {
    // Small values give ties, large ones uneven layers.
    return RandomInstance(Key(i), {6, 5, i % 3 == 0 ? 6 : i % 3 == 1 ? 30 : 1'000'000'000'000});
  }
  static KnapsackSolution Solve(const KnapsackInstance& instance) {
    const auto solution = SolveKnapsack(instance);
    EXPECT_TRUE(solution.ok()) << solution.status();
    return solution.value_or(KnapsackSolution());
  }

  uint64_t seed_ = 20260101;
};

TEST_F(KnapsackProperty, AgreesWithBruteForceOnFeasibilitySizeErrorAndChoice) {
  for (int i = 0; i < kInstances; ++i) {
    const KnapsackInstance instance = Instance(i);
    const KnapsackSolution expected = BruteForce(instance);
    const KnapsackSolution found = Solve(instance);
    ASSERT_EQ(found.feasible, expected.feasible) << "instance " << i;
    ASSERT_EQ(found.size, expected.size) << "instance " << i;
    ASSERT_EQ(found.error, expected.error) << "instance " << i;
    ASSERT_EQ(found.choice, expected.choice) << "instance " << i;
    ASSERT_EQ(found.optimal, found.feasible) << "instance " << i;
  }
}

TEST_F(KnapsackProperty, LowerBoundIsNeverAboveTheOptimum) {
  for (int i = 0; i < kInstances; ++i) {
    const KnapsackSolution found = Solve(Instance(i));
    ASSERT_LE(found.lower_bound, static_cast<double>(found.size)) << "instance " << i;
  }
}

TEST_F(KnapsackProperty, ScalingErrorsAndBudgetChangesNothing) {
  for (int i = 0; i < kInstances; ++i) {
    const KnapsackInstance instance = Instance(i);
    KnapsackInstance scaled = instance;
    scaled.budget *= 12345;
    for (auto& layer : scaled.layers) {
      for (auto& option : layer) option.error *= 12345;
    }
    const KnapsackSolution a = Solve(instance), b = Solve(scaled);
    ASSERT_EQ(a.choice, b.choice) << "instance " << i;
    ASSERT_EQ(a.error * 12345, b.error) << "instance " << i;
  }
}

TEST_F(KnapsackProperty, PermutingLayersAndOptionsKeepsSizeAndError) {
  for (int i = 0; i < kInstances; ++i) {
    const KnapsackInstance instance = Instance(i);
    KnapsackInstance shuffled = instance;
    Draws draws(Key(i).With("shuffle"));
    auto shuffle = [&](auto& list) {
      for (size_t j = list.size(); j > 1; --j) {
        std::swap(list[j - 1], list[static_cast<size_t>(draws.Between(0, j - 1))]);
      }
    };
    shuffle(shuffled.layers);
    for (auto& layer : shuffled.layers) shuffle(layer);
    const KnapsackSolution a = Solve(instance), b = Solve(shuffled);
    ASSERT_EQ(a.size, b.size) << "instance " << i;
    ASSERT_EQ(a.error, b.error) << "instance " << i;
  }
}

TEST_F(KnapsackProperty, DominatedOptionsAreNeverChosen) {
  for (int i = 0; i < kInstances; ++i) {
    const KnapsackInstance instance = Instance(i);
    KnapsackInstance more = instance;
    Draws draws(Key(i).With("dominated"));
    for (auto& layer : more.layers) {
      const KnapsackOption base = layer[static_cast<size_t>(draws.Between(0, layer.size() - 1))];
      layer.push_back({base.size + draws.Between(0, 3), base.error + draws.Between(1, 3)});
    }
    const KnapsackSolution a = Solve(instance), b = Solve(more);
    ASSERT_EQ(a.choice, b.choice) << "instance " << i;
  }
}

TEST_F(KnapsackProperty, DuplicatedOptionsGiveWayToTheFirst) {
  for (int i = 0; i < kInstances; ++i) {
    const KnapsackInstance instance = Instance(i);
    KnapsackInstance doubled = instance;
    for (auto& layer : doubled.layers) {
      const auto copy = layer;
      layer.insert(layer.end(), copy.begin(), copy.end());
    }
    ASSERT_EQ(Solve(instance).choice, Solve(doubled).choice) << "instance " << i;
  }
}

TEST_F(KnapsackProperty, MoreBudgetNeverMeansMoreSize) {
  for (int i = 0; i < kInstances / 4; ++i) {
    KnapsackInstance instance = Instance(i);
    KnapsackSolution before = Solve(instance);
    for (int round = 0; round < 5; ++round) {
      instance.budget += instance.budget / 4 + 1;
      const KnapsackSolution after = Solve(instance);
      if (before.feasible) {
        ASSERT_TRUE(after.feasible) << "instance " << i;
        ASSERT_LE(after.size, before.size) << "instance " << i;
      }
      before = after;
    }
  }
}

TEST_F(KnapsackProperty, NeverWorseThanUniformAtUniformError) {
  for (int i = 0; i < 300; ++i) {
    const KnapsackInstance instance = NetworkInstance(Key(i), 1 + i % 80, 2 + i % 9);
    const int uniform = (2 + i % 9) / 2;
    int64_t size = 0;
    for (const auto& layer : instance.layers) size += layer[uniform].size;
    const KnapsackSolution found = Solve(instance);
    ASSERT_TRUE(found.feasible && found.optimal) << "instance " << i;
    ASSERT_LE(found.error, instance.budget) << "instance " << i;
    ASSERT_LE(found.size, size) << "instance " << i;
  }
}

TEST_F(KnapsackProperty, SeventeenLayersAndMoreGiveTheSameAnswerEveryTime) {
  for (int i = 0; i < 200; ++i) {
    const KnapsackInstance instance = RandomInstance(Key(i), {60, 6, 50});
    ASSERT_EQ(Solve(instance).choice, Solve(instance).choice) << "instance " << i;
  }
}

TEST_F(KnapsackProperty, TinyLimitsGiveFeasibleAssignmentsWithCertifiedGaps) {
  for (int i = 0; i < 1000; ++i) {
    const KnapsackInstance instance = Instance(i);
    const KnapsackSolution best = Solve(instance);
    for (const int64_t max_states : {0, 3, 40, 200}) {
      const auto cut = SolveKnapsack(instance, {max_states});
      ASSERT_TRUE(cut.ok());
      ASSERT_EQ(cut->feasible, best.feasible) << "instance " << i;
      if (!best.feasible) continue;
      ASSERT_LE(cut->error, instance.budget) << "instance " << i;
      ASSERT_GE(cut->size, best.size) << "instance " << i;
      ASSERT_LE(cut->lower_bound, static_cast<double>(best.size)) << "instance " << i;
      if (cut->optimal) {
        ASSERT_EQ(cut->size, best.size) << "instance " << i;
      }
    }
  }
}

}  // namespace
}  // namespace sluice
