#include "comm/low_rank/low_rank_error.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "comm/low_rank/low_rank_tensor.h"
#include "gtest/gtest.h"
#include "tests/comm/low_rank/matrix_cases.h"

namespace sluice {
namespace {

const std::vector<double>& Spectrum() {
  static const std::vector<double>* const kSpectrum = new std::vector<double>{
      10, 7, 5, 3, 2, 1.4, 1, 0.7, 0.5, 0.3, 0.2, 0.1, 0.07, 0.05, 0.04, 0.03, 0.02, 0.01};
  return *kSpectrum;
}

double Best(int rank) {
  double square = 0;
  for (size_t k = rank; k < Spectrum().size(); ++k) square += Spectrum()[k] * Spectrum()[k];
  return square;
}

double Whole() { return Best(0); }

struct ErrorCase {
  int64_t rows;
  int64_t cols;
  SpectrumMethod method;
};

class LowRankErrorTest : public ::testing::TestWithParam<ErrorCase> {
 protected:
  std::vector<double> Errors(absl::Span<const float> matrix, const std::vector<int>& ranks) const {
    return LowRankSquaredErrors(matrix, GetParam().rows, GetParam().cols, ranks, GetParam().method);
  }
  std::vector<float> Known() const {
    return MatrixOfSpectrum(RandomKey(1), GetParam().rows, GetParam().cols, Spectrum());
  }
};

TEST_P(LowRankErrorTest, IsTheTailOfAKnownSpectrum) {
  const std::vector<int> ranks = {8, 1, 2, 3, 4, 4, 6};  // in any order, more than once
  const std::vector<double> errors = Errors(Known(), ranks);
  ASSERT_EQ(errors.size(), ranks.size());
  for (size_t k = 0; k < ranks.size(); ++k) {
    // fp32 rounds the matrix, and the sketch its products: 1e-6 of the whole. The sketch also misses a
    // part of what lies beyond its width: (0.02 / 0.5)^4 of the tail here, less than 1e-3.
    EXPECT_NEAR(errors[k], Best(ranks[k]), 1e-6 * Whole() + 1e-3 * Best(ranks[k]))
        << "rank " << ranks[k];
  }
}

TEST_P(LowRankErrorTest, IsWhereTheCodecEndsUp) {
  const std::vector<float> matrix = Known();
  for (const int rank : {1, 2, 4, 8}) {
    LowRankTensor tensor(GetParam().rows, GetParam().cols, rank, RandomKey(2));
    double codec = 0;
    for (int64_t step = 0; step < 40; ++step) {
      codec = Norm(RunAlone(&tensor, Step(step), matrix).residual);
    }
    // convergence_test: the iteration is within 1e-3 of the best after 40 turns, never below it.
    const double error = std::sqrt(Errors(matrix, {rank})[0]);
    EXPECT_LE(error, codec * (1 + 1e-3)) << "rank " << rank;
    EXPECT_GE(error, codec * (1 - 2e-3)) << "rank " << rank;
  }
}

TEST_P(LowRankErrorTest, IsAtMostWhatAFreshCodecLosesInAFlatSpectrum) {
  // Noise is the hardest: a step's two turns are half of the sketch's power round, and less wide.
  const std::vector<float> matrix = RandomMatrix(RandomKey(3), GetParam().rows * GetParam().cols);
  for (const int rank : {2, 8}) {
    LowRankTensor tensor(GetParam().rows, GetParam().cols, rank, RandomKey(2));
    RunAlone(&tensor, Step(0), matrix);
    const double fresh = Norm(RunAlone(&tensor, Step(1), matrix).residual);
    EXPECT_LE(std::sqrt(Errors(matrix, {rank})[0]), fresh) << "rank " << rank;
  }
}

TEST_P(LowRankErrorTest, FallsWithTheRankAndStaysBelowSilence) {
  const std::vector<float> matrix = RandomMatrix(RandomKey(4), GetParam().rows * GetParam().cols);
  const std::vector<double> errors = Errors(matrix, {1, 2, 3, 4, 5, 6, 7, 8});
  double last = Norm(matrix) * Norm(matrix);
  for (const double error : errors) {
    EXPECT_LT(error, last);
    last = error;
  }
}

TEST_P(LowRankErrorTest, FromTheShorterSideOnThereIsNone) {
  const int side = static_cast<int>(std::min(GetParam().rows, GetParam().cols));
  const std::vector<float> matrix = RandomMatrix(RandomKey(5), GetParam().rows * GetParam().cols);
  const std::vector<double> errors = Errors(matrix, {side - 1, side, side + 1, 100000});
  EXPECT_GT(errors[0], 0);
  for (size_t k = 1; k < errors.size(); ++k) EXPECT_EQ(errors[k], 0);
}

TEST_P(LowRankErrorTest, OfZerosIsZero) {
  const std::vector<float> zeros(GetParam().rows * GetParam().cols, 0.0f);
  EXPECT_EQ(Errors(zeros, {1, 4}), std::vector<double>({0, 0}));
}

TEST_P(LowRankErrorTest, OfWhatIsNotFiniteIsNaN) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> matrix = Known();
    matrix[matrix.size() / 2] = bad;
    for (const double error : Errors(matrix, {1, 4, 100000})) EXPECT_TRUE(std::isnan(error));
  }
}

TEST_P(LowRankErrorTest, ScalesWithTheMatrix) {
  const std::vector<float> matrix = Known();
  const double error = Errors(matrix, {3})[0];
  for (const int exponent : {-100, -60, 60, 110}) {
    std::vector<float> scaled = matrix;
    for (float& value : scaled) value = std::ldexp(value, exponent);
    EXPECT_NEAR(std::ldexp(Errors(scaled, {3})[0], -2 * exponent), error, 1e-5 * error)
        << "2^" << exponent;
  }
}

TEST_P(LowRankErrorTest, IsTheSameEveryTime) {
  const std::vector<float> matrix = RandomMatrix(RandomKey(6), GetParam().rows * GetParam().cols);
  EXPECT_EQ(Errors(matrix, {1, 2, 5}), Errors(matrix, {1, 2, 5}));
}

std::string NameOf(const ::testing::TestParamInfo<ErrorCase>& info) {
  const char* const methods[] = {"Auto", "Gram", "Sketch"};
  return std::to_string(info.param.rows) + "x" + std::to_string(info.param.cols) +
         methods[static_cast<int>(info.param.method)];
}

INSTANTIATE_TEST_SUITE_P(Shapes, LowRankErrorTest,
                         ::testing::Values(ErrorCase{18, 40, SpectrumMethod::kGram},
                                           ErrorCase{300, 18, SpectrumMethod::kGram},
                                           ErrorCase{2500, 33, SpectrumMethod::kGram},
                                           ErrorCase{70, 1100, SpectrumMethod::kGram},
                                           ErrorCase{70, 1100, SpectrumMethod::kSketch},
                                           ErrorCase{333, 65, SpectrumMethod::kSketch},
                                           ErrorCase{130, 131, SpectrumMethod::kSketch},
                                           ErrorCase{150, 200, SpectrumMethod::kAuto},
                                           ErrorCase{18, 19, SpectrumMethod::kSketch}),
                         NameOf);

TEST(LowRankError, SketchIsWithinAFewPercentOfExactOnNoise) {
  const std::vector<float> matrix = RandomMatrix(RandomKey(7), 200 * 300);
  const std::vector<int> ranks = {1, 2, 4, 8, 16, 32};
  const auto exact = LowRankSquaredErrors(matrix, 200, 300, ranks, SpectrumMethod::kGram);
  const auto sketch = LowRankSquaredErrors(matrix, 200, 300, ranks, SpectrumMethod::kSketch);
  for (size_t k = 0; k < ranks.size(); ++k) {
    EXPECT_GE(std::sqrt(sketch[k]), std::sqrt(exact[k]) * (1 - 1e-6)) << "rank " << ranks[k];
    EXPECT_LE(std::sqrt(sketch[k]), std::sqrt(exact[k]) * 1.05) << "rank " << ranks[k];
  }
}

TEST(LowRankError, AMatrixOfOneColumnHasNone) {
  EXPECT_EQ(LowRankSquaredErrors({1.0f, 2.0f, 3.0f}, 3, 1, {1, 2}), std::vector<double>({0, 0}));
}

}  // namespace
}  // namespace sluice
