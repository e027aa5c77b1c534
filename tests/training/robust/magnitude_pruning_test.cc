#include "training/robust/magnitude_pruning.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/random.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

std::vector<float> Draw(int64_t count, uint64_t seed) {
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i) {
    const double uniform =
        std::ldexp(static_cast<double>(RandomKey(seed).Bits(static_cast<uint64_t>(i)) >> 11), -53);
    values.push_back(static_cast<float>(2 * uniform - 1));
  }
  return values;
}

WeightMatrix Shape(int64_t rows, int64_t cols, int64_t groups = 1) {
  return {"layer", {}, rows, cols, groups};
}

std::vector<float> Pruned(std::vector<float> weights, const WeightMatrix& shape, double sparsity,
                          KeepLines keep = KeepLines::kRows) {
  PruneByMagnitude(shape, sparsity, keep, absl::MakeSpan(weights));
  return weights;
}

TEST(MagnitudePruning, TheSmallestGo) {
  EXPECT_EQ(Pruned({0.1f, -0.5f, 0.3f, -0.2f}, Shape(1, 4), 0.5),
            (std::vector<float>{0, -0.5f, 0.3f, 0}));
}

TEST(MagnitudePruning, OfEqualOnesTheFirstGo) {
  EXPECT_EQ(Pruned({1, -1, 1, -1}, Shape(1, 4), 0.5), (std::vector<float>{0, 0, 1, -1}));
}

TEST(MagnitudePruning, TheShareIsExactUnlessRowsWouldBeCutOff) {
  for (const double sparsity : {0.0, 0.1, 0.5, 0.9, 0.95, 0.99}) {
    const auto weights = Pruned(Draw(64 * 50, 1), Shape(64, 50), sparsity);
    const double expected = std::min(sparsity, 1 - 64 / 3200.0);
    EXPECT_NEAR(SparsityOf(weights), expected, 1e-9) << sparsity;
  }
}

TEST(MagnitudePruning, EveryRowKeepsItsLargest) {
  const std::vector<float> before = Draw(40 * 30, 2);
  const std::vector<float> after = Pruned(before, Shape(40, 30), 0.999);
  for (int64_t row = 0; row < 40; ++row) {
    const auto largest =
        std::max_element(before.begin() + row * 30, before.begin() + (row + 1) * 30,
                         [](float a, float b) { return std::abs(a) < std::abs(b); });
    EXPECT_EQ(after[static_cast<size_t>(largest - before.begin())], *largest) << row;
  }
}

TEST(MagnitudePruning, ColumnsKeepTheirLargestIfAskedTo) {
  const auto zero_columns = [](const std::vector<float>& w) {
    int count = 0;
    for (int64_t c = 0; c < 60; ++c) {
      bool zero = true;
      for (int64_t r = 0; r < 40; ++r) zero = zero && w[static_cast<size_t>(r * 60 + c)] == 0;
      count += zero ? 1 : 0;
    }
    return count;
  };
  const std::vector<float> before = Draw(40 * 60, 3);
  EXPECT_GT(zero_columns(Pruned(before, Shape(40, 60), 0.97)), 0);
  EXPECT_EQ(zero_columns(Pruned(before, Shape(40, 60), 0.97, KeepLines::kRowsAndColumns)), 0);
}

TEST(MagnitudePruning, GroupsHaveColumnsOfTheirOwn) {
  // Both columns of both groups; one row each.
  const std::vector<float> before = {5, 4, 1, 2};
  EXPECT_EQ(Pruned(before, Shape(2, 2, 2), 0.9, KeepLines::kRowsAndColumns), before);
  EXPECT_EQ(Pruned(before, Shape(2, 2), 0.9, KeepLines::kRowsAndColumns),
            (std::vector<float>{5, 4, 0, 2}));
}

TEST(MagnitudePruning, AgainOrToASmallerShareChangesNothing) {
  for (const KeepLines keep : {KeepLines::kRows, KeepLines::kRowsAndColumns}) {
    const auto once = Pruned(Draw(400, 4), Shape(20, 20), 0.8, keep);
    EXPECT_EQ(Pruned(once, Shape(20, 20), 0.8, keep), once);
    EXPECT_EQ(Pruned(once, Shape(20, 20), 0.3, keep), once);
  }
}

TEST(MagnitudePruning, MoreAndMoreIsAtOnceIfNothingMovesMeanwhile) {
  auto steps = Draw(400, 5);
  for (const double sparsity : {0.2, 0.5, 0.7, 0.8}) steps = Pruned(steps, Shape(20, 20), sparsity);
  EXPECT_EQ(steps, Pruned(Draw(400, 5), Shape(20, 20), 0.8));
}

TEST(MagnitudePruning, AWholeLayerNeverGoes) {
  EXPECT_EQ(Pruned({-3}, Shape(1, 1), 0.999), std::vector<float>{-3});
}

}  // namespace
}  // namespace sluice
