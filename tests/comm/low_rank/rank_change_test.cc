// Which columns a change of rank keeps.

#include <algorithm>
#include <limits>
#include <vector>

#include "comm/low_rank/low_rank_tensor.h"
#include "gtest/gtest.h"
#include "tests/comm/low_rank/matrix_cases.h"

namespace sluice {
namespace {

// Columns of left: e_k times length[k]; of right: e_k.
LowRankState UnitState(int64_t rows, int64_t cols, const std::vector<float>& lengths) {
  LowRankState state;
  state.reduced = static_cast<int>(lengths.size());
  state.left.resize(rows * lengths.size());
  state.right.resize(cols * lengths.size());
  for (size_t k = 0; k < lengths.size(); ++k) {
    state.left[k * rows + k] = lengths[k];
    state.right[k * cols + k] = 1;
  }
  return state;
}

TEST(RankChange, KeepsTheLongestColumnsInOrderOfLength) {
  LowRankTensor tensor(6, 8, 4, RandomKey(1));
  ASSERT_TRUE(tensor.Restore(UnitState(6, 8, {2, 9, 1, 5})).ok());
  tensor.SetRank(3);
  const LowRankState state = tensor.Save();
  const std::vector<int> kept = {1, 3, 0};
  for (int k = 0; k < 3; ++k) {
    EXPECT_GT(state.left[k * 6 + kept[k]], 0) << k;
    EXPECT_EQ(state.right[k * 8 + kept[k]], 1) << k;
  }
  EXPECT_EQ(state.reduced, 3);
}

TEST(RankChange, BrokenColumnsAreDroppedFirst) {
  LowRankTensor tensor(6, 8, 4, RandomKey(1));
  LowRankState broken = UnitState(6, 8, {2, 9, 1, 5});
  broken.left[1 * 6 + 3] = std::numeric_limits<float>::quiet_NaN();
  ASSERT_TRUE(tensor.Restore(broken).ok());
  tensor.SetRank(2);
  std::vector<float> expected(16, 0.0f);
  expected[3] = 1;  // of length 5
  expected[8] = 1;  // of length 2
  EXPECT_EQ(tensor.Save().right, expected);
}

TEST(RankChange, SameRankChangesNothing) {
  LowRankTensor tensor(20, 30, 4, RandomKey(1));
  RunAlone(&tensor, Step(0), RandomMatrix(RandomKey(2), 600));
  const LowRankState before = tensor.Save();
  tensor.SetRank(4);
  EXPECT_EQ(tensor.Save().left, before.left);
  EXPECT_EQ(tensor.Save().right, before.right);
}

TEST(RankChange, UnusedColumnsAreDroppedBeforeReducedOnes) {
  LowRankTensor tensor(20, 30, 3, RandomKey(1));
  RunAlone(&tensor, Step(0), RandomMatrix(RandomKey(2), 600, 1e-6f));  // far below a seed's length
  const LowRankState before = tensor.Save();
  tensor.SetRank(9);
  EXPECT_EQ(tensor.Save().reduced, 3);
  tensor.SetRank(3);
  std::vector<float> left = tensor.Save().left;
  std::vector<float> expected = before.left;
  std::sort(left.begin(), left.end());
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(left, expected) << "the same columns, in some order";
}

TEST(RankChange, RankIsLimitedByTheShape) {
  LowRankTensor tensor(5, 30, 2, RandomKey(1));
  tensor.SetRank(100);
  EXPECT_EQ(tensor.rank(), 5);
  EXPECT_EQ(tensor.FactorElements(Step(0)), 150);
}

TEST(RankChange, FromFullRankTheRowsOfLargestNormLead) {
  LowRankTensor tensor(3, 10, 3, RandomKey(1));
  std::vector<float> matrix(30, 0.0f);
  matrix[0] = 1;
  matrix[10 + 1] = 3;
  matrix[20 + 2] = 2;
  RunAlone(&tensor, Step(0), matrix);
  tensor.SetRank(2);
  for (int64_t step = 1; step < 3; ++step) {
    EXPECT_NEAR(Norm(RunAlone(&tensor, Step(step), matrix).residual), 1, 1e-6) << step;
  }
}

TEST(RankChange, TensorsThatChangeAlikeStayAlike) {
  LowRankTensor a(33, 47, 4, RandomKey(1));
  LowRankTensor b(33, 47, 4, RandomKey(1));
  for (int64_t step = 0; step < 40; ++step) {
    const int rank = 1 + static_cast<int>(RandomKey(3).Below(step / 3, 40));
    a.SetRank(rank);
    b.SetRank(rank);
    const std::vector<float> matrix = RandomMatrix(RandomKey(4).With(step), 33 * 47);
    EXPECT_EQ(BitsOf(RunAlone(&a, Step(step), matrix).result),
              BitsOf(RunAlone(&b, Step(step), matrix).result))
        << step;
  }
}

TEST(RankChange, AnotherKeyDrawsAnotherBasis) {
  LowRankTensor a(33, 47, 4, RandomKey(1));
  LowRankTensor b(33, 47, 4, RandomKey(2));
  EXPECT_NE(a.Save().left, b.Save().left);
  EXPECT_NE(a.Save().left[0], a.Save().right[0]);
}

}  // namespace
}  // namespace sluice
