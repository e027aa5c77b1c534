// What one step does: projection, what is lost, edges, non-finite values, saved state.

#include "comm/low_rank/low_rank_tensor.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "gtest/gtest.h"
#include "tests/comm/low_rank/matrix_cases.h"

namespace sluice {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

LowRankTensor TensorOf(const MatrixCase& c) {
  return LowRankTensor(c.rows, c.cols, c.rank, RandomKey(3));
}

bool AllFinite(absl::Span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); });
}

class LowRankTensorTest : public ::testing::TestWithParam<MatrixCase> {};

TEST_P(LowRankTensorTest, ResultAndResidualAddUpToTheMatrix) {
  LowRankTensor tensor = TensorOf(GetParam());
  for (int64_t step = 0; step < 4; ++step) {
    const std::vector<float> matrix =
        RandomMatrix(RandomKey(4).With(step), tensor.rows() * tensor.cols(), 1e-3f);
    const StepResult out = RunAlone(&tensor, Step(step), matrix);
    for (size_t i = 0; i < matrix.size(); ++i) {
      const float scale = std::fabs(out.result[i]) + std::fabs(matrix[i]);
      ASSERT_NEAR(out.result[i] + out.residual[i], matrix[i], 1e-6f * scale) << step << ' ' << i;
    }
  }
}

TEST_P(LowRankTensorTest, ResultIsAnOrthogonalProjectionOfTheMatrix) {
  LowRankTensor tensor = TensorOf(GetParam());
  for (int64_t step = 0; step < 4; ++step) {
    const std::vector<float> matrix =
        RandomMatrix(RandomKey(5).With(step), tensor.rows() * tensor.cols());
    const StepResult out = RunAlone(&tensor, Step(step), matrix);
    const double whole = Norm(matrix);
    const double kept = Norm(out.result);
    const double lost = Norm(out.residual);
    EXPECT_NEAR(kept * kept + lost * lost, whole * whole, 2e-6 * whole * whole) << step;
  }
}

TEST_P(LowRankTensorTest, FactorIsTheMatrixTimesTheBasis) {
  const MatrixCase c = GetParam();
  LowRankTensor tensor = TensorOf(c);
  for (int64_t step = 0; step < 2; ++step) {
    const std::vector<float> matrix = RandomMatrix(RandomKey(6).With(step), c.rows * c.cols);
    const bool left = tensor.SideOf(Step(step)) == FactorSide::kLeft;
    const StepResult out = RunAlone(&tensor, Step(step), matrix);
    const LowRankState state = tensor.Save();
    const std::vector<float>& basis = left ? state.right : state.left;
    EXPECT_EQ(out.factor, left ? state.left : state.right) << "the sum is the next basis";
    const int64_t length = left ? c.rows : c.cols;
    const int64_t depth = left ? c.cols : c.rows;
    for (int k = 0; k < tensor.rank(); ++k) {
      for (int64_t i = 0; i < length; ++i) {
        double expected = 0;
        double scale = 0;
        for (int64_t j = 0; j < depth; ++j) {
          const double m = left ? matrix[i * c.cols + j] : matrix[j * c.cols + i];
          expected += m * basis[k * depth + j];
          scale += std::fabs(m * basis[k * depth + j]);
        }
        ASSERT_NEAR(out.factor[k * length + i], expected, 2e-6 * scale) << step << ' ' << k;
      }
    }
  }
}

TEST_P(LowRankTensorTest, WithoutResidualTheResultIsTheSame) {
  LowRankTensor with = TensorOf(GetParam());
  LowRankTensor without = TensorOf(GetParam());
  for (int64_t step = 0; step < 3; ++step) {
    std::vector<float> matrix = RandomMatrix(RandomKey(7).With(step), with.rows() * with.cols());
    const StepResult out = RunAlone(&with, Step(step), matrix);
    std::vector<float> factor(without.FactorElements(Step(step)));
    without.Encode(Step(step), matrix, absl::MakeSpan(factor));
    without.Decode(Step(step), factor, {}, absl::MakeSpan(matrix), {});
    EXPECT_EQ(BitsOf(matrix), BitsOf(out.result)) << step;
  }
}

TEST_P(LowRankTensorTest, ZeroMatrixGivesZerosForAnyNumberOfSteps) {
  LowRankTensor tensor = TensorOf(GetParam());
  const std::vector<float> zeros(tensor.rows() * tensor.cols(), 0.0f);
  for (int64_t step = 0; step < 4; ++step) {
    const StepResult out = RunAlone(&tensor, Step(step), zeros);
    EXPECT_EQ(out.result, zeros);
    EXPECT_EQ(out.residual, zeros);
  }
  const std::vector<float> matrix = RandomMatrix(RandomKey(8), zeros.size());
  const StepResult out = RunAlone(&tensor, Step(4), matrix);
  EXPECT_GT(Norm(out.result), 0) << "the basis after zeros still catches something";
}

TEST_P(LowRankTensorTest, NonFiniteMatrixShowsAndIsForgotten) {
  for (float bad : {kNaN, kInfinity, -kInfinity}) {
    LowRankTensor tensor = TensorOf(GetParam());
    const std::vector<float> good = RandomMatrix(RandomKey(9), tensor.rows() * tensor.cols());
    RunAlone(&tensor, Step(0), good);
    for (int64_t step = 1; step < 3; ++step) {
      std::vector<float> broken = good;
      broken[broken.size() / 2] = bad;
      const StepResult out = RunAlone(&tensor, Step(step), broken);
      EXPECT_FALSE(std::isfinite(out.result[broken.size() / 2])) << bad;
    }
    double kept = 0;
    for (int64_t step = 3; step < 8; ++step) {
      const StepResult out = RunAlone(&tensor, Step(step), good);
      ASSERT_TRUE(AllFinite(out.result) && AllFinite(out.residual)) << step;
      kept = Norm(out.result);
    }
    EXPECT_GT(kept, 0);
  }
}

TEST_P(LowRankTensorTest, EncodingAgainGivesTheSameBits) {
  LowRankTensor tensor = TensorOf(GetParam());
  const std::vector<float> matrix = RandomMatrix(RandomKey(10), tensor.rows() * tensor.cols());
  RunAlone(&tensor, Step(0), matrix);
  std::vector<float> first(tensor.FactorElements(Step(1)));
  std::vector<float> second(first.size());
  tensor.Encode(Step(1), matrix, absl::MakeSpan(first));
  tensor.Encode(Step(1), matrix, absl::MakeSpan(second));
  EXPECT_EQ(BitsOf(first), BitsOf(second));
}

TEST_P(LowRankTensorTest, RestoredTensorContinuesWithTheSameBits) {
  LowRankTensor tensor = TensorOf(GetParam());
  LowRankTensor newcomer(GetParam().rows, GetParam().cols, 1, RandomKey(3));
  for (int64_t step = 0; step < 5; ++step) {
    const std::vector<float> matrix =
        RandomMatrix(RandomKey(11).With(step), tensor.rows() * tensor.cols());
    if (step == 3) {
      ASSERT_TRUE(newcomer.Restore(tensor.Save()).ok());
    }
    const StepResult out = RunAlone(&tensor, Step(step), matrix);
    if (step < 3) continue;
    ASSERT_EQ(newcomer.rank(), tensor.rank());
    const StepResult same = RunAlone(&newcomer, Step(step), matrix);
    EXPECT_EQ(BitsOf(same.result), BitsOf(out.result)) << step;
    EXPECT_EQ(BitsOf(same.residual), BitsOf(out.residual)) << step;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, LowRankTensorTest, ::testing::ValuesIn(InterestingMatrices()),
                         [](const auto& info) {
                           return std::to_string(info.param.rows) + "x" +
                                  std::to_string(info.param.cols) + "_rank" +
                                  std::to_string(info.param.rank);
                         });

TEST(LowRankTensor, ASecondTurnOfTheSameMatrixLosesLess) {
  const std::vector<float> matrix = RandomMatrix(RandomKey(8), 40 * 60);
  LowRankTensor one(40, 60, 4, RandomKey(1));
  LowRankTensor two(40, 60, 4, RandomKey(1));
  const auto error = [&](LowRankTensor& tensor, Step turn) {
    std::vector<float> result = matrix, residual(matrix.size());
    std::vector<float> factor(static_cast<size_t>(tensor.FactorElements(turn)));
    tensor.Encode(turn, matrix, absl::MakeSpan(factor));
    tensor.Decode(turn, factor, factor, absl::MakeSpan(result), absl::MakeSpan(residual));
    double sum = 0;
    for (float r : residual) sum += double{r} * r;
    return sum;
  };
  const double after_one = error(one, Step(0));
  std::vector<float> left(static_cast<size_t>(two.FactorElements(Step(0))));
  two.Encode(Step(0), matrix, absl::MakeSpan(left));
  two.Keep(Step(0), left);
  EXPECT_LT(error(two, Step(1)), 0.98 * after_one);
}

TEST(LowRankTensor, SidesTakeTurns) {
  const LowRankTensor even(20, 30, 2, RandomKey(1));
  EXPECT_EQ(even.SideOf(Step(0)), FactorSide::kLeft);
  EXPECT_EQ(even.SideOf(Step(1)), FactorSide::kRight);
  EXPECT_EQ(even.FactorElements(Step(0)), 40);
  EXPECT_EQ(even.FactorElements(Step(1)), 60);
}

TEST(LowRankTensor, FullRankIsExactInEveryStep) {
  for (const MatrixCase c :
       {MatrixCase{1, 1, 1}, {1, 9, 1}, {9, 1, 4}, {6, 6, 6}, {5, 40, 5}, {40, 5, 64}}) {
    LowRankTensor tensor(c.rows, c.cols, c.rank, RandomKey(1));
    EXPECT_EQ(tensor.rank(), std::min(c.rows, c.cols));
    for (int64_t step = 0; step < 3; ++step) {
      const std::vector<float> matrix = RandomMatrix(RandomKey(2).With(step), c.rows * c.cols);
      const StepResult out = RunAlone(&tensor, Step(step), matrix);
      EXPECT_EQ(tensor.FactorElements(Step(step)), c.rows * c.cols);
      EXPECT_EQ(out.result, matrix);
      EXPECT_EQ(out.residual, std::vector<float>(matrix.size(), 0.0f));
    }
  }
}

TEST(LowRankTensor, MatrixOfRankOneIsExactFromItsSecondStep) {
  // Higher ranks have dependent columns: their replacements must not disturb.
  for (int rank : {1, 2, 5}) {
    LowRankTensor tensor(30, 50, rank, RandomKey(1));
    const std::vector<float> matrix = MatrixOfSpectrum(RandomKey(2), 30, 50, {3.0});
    RunAlone(&tensor, Step(0), matrix);
    for (int64_t step = 1; step < 6; ++step) {
      const StepResult out = RunAlone(&tensor, Step(step), matrix);
      EXPECT_LT(Norm(out.residual), 3e-6) << "rank " << rank << ", step " << step;
    }
  }
}

TEST(LowRankTensor, TinyAndHugeGradientsKeepTheirRelativeError) {
  const std::vector<float> matrix = MatrixOfSpectrum(RandomKey(2), 30, 50, {4, 2, 1, 0.1});
  LowRankTensor reference(30, 50, 2, RandomKey(1));
  double expected = 0;
  for (int64_t step = 0; step < 6; ++step) {
    expected = Norm(RunAlone(&reference, Step(step), matrix).residual);
  }
  for (float scale : {0x1p-100f, 0x1p-60f, 0x1p60f, 0x1p100f}) {
    std::vector<float> scaled = matrix;
    for (float& x : scaled) x *= scale;
    LowRankTensor tensor(30, 50, 2, RandomKey(1));
    double lost = 0;
    for (int64_t step = 0; step < 6; ++step) {
      lost = Norm(RunAlone(&tensor, Step(step), scaled).residual);
    }
    EXPECT_NEAR(lost / scale, expected, 1e-5 * expected) << scale;
  }
}

TEST(LowRankTensor, DamagedStateIsRefusedAndChangesNothing) {
  LowRankTensor tensor(6, 9, 2, RandomKey(1));
  const LowRankState before = tensor.Save();
  LowRankState bad = before;
  bad.right.pop_back();
  EXPECT_EQ(tensor.Restore(bad).code(), absl::StatusCode::kInvalidArgument);
  bad = before;
  bad.reduced = 3;
  EXPECT_EQ(tensor.Restore(bad).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(tensor.Restore(LowRankState()).code(), absl::StatusCode::kInvalidArgument);
  bad.reduced = 0;
  bad.left.resize(7 * 6);
  bad.right.resize(7 * 9);
  EXPECT_EQ(tensor.Restore(bad).code(), absl::StatusCode::kInvalidArgument) << "above full rank";
  EXPECT_EQ(tensor.Save().left, before.left);
  EXPECT_EQ(tensor.Save().right, before.right);
}

}  // namespace
}  // namespace sluice
