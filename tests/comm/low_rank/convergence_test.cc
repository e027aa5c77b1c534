// The iteration finds the best approximation of its rank, whatever happens to sides and ranks.

#include <cmath>
#include <string>
#include <vector>

#include "comm/low_rank/low_rank_tensor.h"
#include "gtest/gtest.h"
#include "tests/comm/low_rank/matrix_cases.h"

namespace sluice {
namespace {

const std::vector<double>& Spectrum() {
  static const std::vector<double>* const kSpectrum =
      new std::vector<double>{10, 7, 5, 3, 2, 1.4, 1, 0.7, 0.5, 0.3, 0.2, 0.1};
  return *kSpectrum;
}

// The error of the best approximation (Eckart and Young 1936).
double BestError(int rank) {
  double square = 0;
  for (size_t k = rank; k < Spectrum().size(); ++k) square += Spectrum()[k] * Spectrum()[k];
  return std::sqrt(square);
}

struct ShapeCase {
  int64_t rows;
  int64_t cols;
};

class ConvergenceTest : public ::testing::TestWithParam<ShapeCase> {
 protected:
  std::vector<float> Matrix() const {
    return MatrixOfSpectrum(RandomKey(1), GetParam().rows, GetParam().cols, Spectrum());
  }
  LowRankTensor Tensor(int rank) const {
    return LowRankTensor(GetParam().rows, GetParam().cols, rank, RandomKey(2));
  }
};

TEST_P(ConvergenceTest, AlternationReachesTheBestApproximation) {
  const std::vector<float> matrix = Matrix();
  for (int rank : {1, 2, 3, 4, 8}) {
    for (int64_t first : {0, 1}) {
      LowRankTensor tensor = Tensor(rank);
      double last = Norm(matrix);
      for (int64_t step = first; step < 40; ++step) {
        const double error = Norm(RunAlone(&tensor, Step(step), matrix).residual);
        EXPECT_LE(error, last * (1 + 1e-6)) << "rank " << rank << ", step " << step;
        EXPECT_GE(error, BestError(rank) * (1 - 1e-5)) << "below what is possible";
        last = error;
      }
      EXPECT_LE(last, BestError(rank) * (1 + 1e-3)) << "rank " << rank << " from turn " << first;
    }
  }
}

TEST_P(ConvergenceTest, StepsOfOneSideOnlyAreRightAndKeepTheirBasis) {
  const std::vector<float> matrix = Matrix();
  LowRankTensor tensor = Tensor(3);
  const StepResult first = RunAlone(&tensor, Step(0), matrix);
  for (int64_t step = 2; step < 10; step += 2) {
    const StepResult out = RunAlone(&tensor, Step(step), matrix);
    EXPECT_NEAR(Norm(out.residual), Norm(first.residual), 1e-5) << step;
    EXPECT_LT(Norm(out.result, first.result), 1e-5) << step;
  }
}

TEST_P(ConvergenceTest, SmallerRankKeepsTheLeadingColumns) {
  const std::vector<float> matrix = Matrix();
  for (int64_t steps : {40, 41}) {
    LowRankTensor tensor = Tensor(6);
    for (int64_t step = 0; step < steps; ++step) RunAlone(&tensor, Step(step), matrix);
    tensor.SetRank(2);
    EXPECT_EQ(tensor.rank(), 2);
    const StepResult out = RunAlone(&tensor, Step(steps), matrix);
    EXPECT_EQ(static_cast<int64_t>(out.factor.size()), tensor.FactorElements(Step(steps)));
    EXPECT_LE(Norm(out.residual), BestError(2) * 1.001) << "warm, without a new start";
  }
}

TEST_P(ConvergenceTest, LargerRankAddsToWhatWasLearned) {
  const std::vector<float> matrix = Matrix();
  LowRankTensor tensor = Tensor(2);
  for (int64_t step = 0; step < 40; ++step) RunAlone(&tensor, Step(step), matrix);
  tensor.SetRank(4);
  EXPECT_LT(Norm(RunAlone(&tensor, Step(40), matrix).residual), BestError(2));
  double error = 0;
  for (int64_t step = 41; step < 80; ++step) {
    error = Norm(RunAlone(&tensor, Step(step), matrix).residual);
  }
  EXPECT_LE(error, BestError(4) * 1.001);
}

INSTANTIATE_TEST_SUITE_P(Shapes, ConvergenceTest,
                         ::testing::Values(ShapeCase{20, 33}, ShapeCase{70, 25}, ShapeCase{40, 40}),
                         [](const auto& info) {
                           return std::to_string(info.param.rows) + "x" +
                                  std::to_string(info.param.cols);
                         });

}  // namespace
}  // namespace sluice
