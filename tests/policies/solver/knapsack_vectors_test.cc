// The published instances, whose optima were found by enumeration (small) and by three independent
// programs (large).
#include <fstream>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "policies/solver/instance_json.h"
#include "policies/solver/knapsack.h"

namespace sluice {
namespace {

std::string ReadVectors() {
  std::ifstream file("tests/policies/solver/testdata/lgreco_knapsack.json");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

struct Vector {
  NamedInstance named;
  nlohmann::json json;
  KnapsackSolution solution;
};

class KnapsackVectors : public testing::Test {
 protected:
  void SetUp() override {
    const std::string text = ReadVectors();
    const auto json = nlohmann::json::parse(text, nullptr, false);
    const auto file = ParseInstances(text);
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_EQ(file->instances.size(), 5u);
    for (size_t i = 0; i < file->instances.size(); ++i) {
      const auto solution = SolveKnapsack(file->instances[i].instance);
      ASSERT_TRUE(solution.ok()) << solution.status();
      vectors_.push_back({file->instances[i], json["instances"][i], *solution});
    }
  }
  std::vector<Vector> vectors_;
};

TEST_F(KnapsackVectors, OptimalSizeIsReachedAndProven) {
  for (const Vector& v : vectors_) {
    EXPECT_TRUE(v.solution.feasible && v.solution.optimal) << v.named.name;
    EXPECT_EQ(v.solution.size, v.json["expected"]["optimal_size"]) << v.named.name;
    EXPECT_EQ(v.solution.gap(), 0) << v.named.name;
  }
}

TEST_F(KnapsackVectors, ErrorIsTheLeastAtThatSize) {
  for (const Vector& v : vectors_) {
    EXPECT_EQ(v.solution.error, v.json["expected"]["least_error_at_optimal_size"]) << v.named.name;
  }
}

TEST_F(KnapsackVectors, ChoiceAddsUpToSizeAndErrorWithinBudget) {
  for (const Vector& v : vectors_) {
    int64_t size = 0, error = 0;
    ASSERT_EQ(v.solution.choice.size(), v.named.instance.layers.size());
    for (size_t l = 0; l < v.solution.choice.size(); ++l) {
      size += v.named.instance.layers[l][v.solution.choice[l]].size;
      error += v.named.instance.layers[l][v.solution.choice[l]].error;
    }
    EXPECT_EQ(size, v.solution.size) << v.named.name;
    EXPECT_EQ(error, v.solution.error) << v.named.name;
    EXPECT_LE(error, v.named.instance.budget) << v.named.name;
  }
}

TEST_F(KnapsackVectors, SmallInstancesGetTheCanonicalChoice) {
  int checked = 0;
  for (const Vector& v : vectors_) {
    if (!v.json["expected"].contains("canonical_choice")) continue;
    EXPECT_EQ(nlohmann::json(v.solution.choice), v.json["expected"]["canonical_choice"])
        << v.named.name;
    ++checked;
  }
  EXPECT_EQ(checked, 3);
}

TEST_F(KnapsackVectors, LowerBoundIsThatOfTheLinearRelaxation) {
  for (const Vector& v : vectors_) {
    EXPECT_NEAR(v.solution.lower_bound, v.json["expected"]["lp_lower_bound"], 0.01) << v.named.name;
    EXPECT_LE(v.solution.lower_bound, static_cast<double>(v.solution.size)) << v.named.name;
  }
}

TEST_F(KnapsackVectors, NothingIsLargerThanTheUniformChoice) {
  for (const Vector& v : vectors_) {
    EXPECT_LE(v.solution.size, v.json["expected"]["uniform_size"]) << v.named.name;
  }
}

TEST_F(KnapsackVectors, NothingIsLargerThanTheReferenceSolver) {
  for (const Vector& v : vectors_) {
    EXPECT_LE(v.solution.size, v.json["expected"]["reference_solver_D10000"]["size"])
        << v.named.name;
  }
}

}  // namespace
}  // namespace sluice
