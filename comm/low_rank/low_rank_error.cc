#include "comm/low_rank/low_rank_error.h"

#include <algorithm>
#include <cmath>
#include <eigen3/Eigen/Dense>
#include <limits>

#include "base/check.h"
#include "comm/low_rank/factor.h"
#include "comm/low_rank/kernels.h"
#include "comm/low_rank/orthonormalise.h"

namespace sluice {
namespace {

using RowMajorMap =
    Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;

/// Up to here the exact way costs about what the sketch does (tools/bench/profile_bench.cc).
constexpr int64_t kShortSide = 128;
/// Columns of the sketch beyond the largest rank.
constexpr int kOversampling = 8;
/// Values that become doubles at a time.
constexpr int64_t kBlock = 1024;
/// Products of floats stay clear of overflow and of denormals for norms within.
constexpr double kLeastNorm = 1e-12, kLargestNorm = 1e12;

constexpr uint64_t kSketchSeed = 0x6c6f7772616e6b;

double SquaredNorm(absl::Span<const float> values) {
  double sums[4] = {};  // independent, so that additions overlap
  size_t i = 0;
  for (; i + 4 <= values.size(); i += 4) {
    for (size_t k = 0; k < 4; ++k) sums[k] += static_cast<double>(values[i + k]) * values[i + k];
  }
  for (; i < values.size(); ++i) sums[0] += static_cast<double>(values[i]) * values[i];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// Descending.
std::vector<double> Eigenvalues(const Eigen::MatrixXd& symmetric) {
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(symmetric, Eigen::EigenvaluesOnly);
  SLUICE_CHECK(solver.info() == Eigen::Success, "a finite symmetric matrix has eigenvalues");
  std::vector<double> values(solver.eigenvalues().data(),
                             solver.eigenvalues().data() + symmetric.rows());
  std::reverse(values.begin(), values.end());
  return values;
}

// Squares of all singular values.
std::vector<double> GramSpectrum(absl::Span<const float> matrix, int64_t rows, int64_t cols) {
  const RowMajorMap map(matrix.data(), rows, cols);
  const int64_t side = std::min(rows, cols), length = std::max(rows, cols);
  Eigen::MatrixXd gram = Eigen::MatrixXd::Zero(side, side);
  Eigen::MatrixXd block;
  for (int64_t begin = 0; begin < length; begin += kBlock) {
    const int64_t size = std::min(kBlock, length - begin);
    if (rows <= cols) {
      block = map.middleCols(begin, size).cast<double>();
    } else {
      block = map.middleRows(begin, size).cast<double>().transpose();
    }
    gram.selfadjointView<Eigen::Lower>().rankUpdate(block);
  }
  return Eigenvalues(gram);  // reads the lower triangle
}

// Squares of the `width` largest singular values of Q^T A, with Q an orthonormal basis of the columns of
// A A^T A times random ones. \pre width <= min(rows, cols)
std::vector<double> SketchSpectrum(absl::Span<const float> matrix, int64_t rows, int64_t cols,
                                   int width) {
  const RandomKey key(kSketchSeed);
  std::vector<double> scratch(width);
  Factor right(cols, width);
  Factor left(rows, width);
  for (int k = 0; k < width; ++k) right.FillColumn(k, key.With(k));
  for (int round = 0; round < 2; ++round) {
    if (round > 0) Orthonormalise(key, &right, &scratch);
    MultiplyByBasis(matrix.data(), rows, cols, right.data(), right.stride(), width, left.data(),
                    left.stride());
    Orthonormalise(key, &left, &scratch);
    MultiplyTransposed(matrix.data(), rows, cols, left.data(), left.stride(), width, right.data(),
                       right.stride());
  }
  Eigen::MatrixXd gram(width, width);
  for (int k = 0; k < width; ++k) {
    ColumnDots(right.data(), right.stride(), width, right.column(k), cols, gram.col(k).data());
  }
  return Eigenvalues(gram);
}

}  // namespace

std::vector<double> LowRankSquaredErrors(absl::Span<const float> matrix, int64_t rows, int64_t cols,
                                         absl::Span<const int> ranks, SpectrumMethod method) {
  SLUICE_CHECK(rows >= 1 && cols >= 1, "an empty tensor has no factors");
  SLUICE_CHECK(static_cast<int64_t>(matrix.size()) == rows * cols, "not this tensor's size");
  std::vector<double> errors(ranks.size(), 0.0);
  const double whole = SquaredNorm(matrix);
  if (!std::isfinite(whole)) {
    std::fill(errors.begin(), errors.end(), std::numeric_limits<double>::quiet_NaN());
    return errors;
  }
  const int64_t side = std::min(rows, cols);
  int largest = 0;  // rank that loses something
  for (const int rank : ranks) {
    SLUICE_CHECK(rank >= 1, "a rank is at least 1");
    if (rank < side) largest = std::max(largest, rank);
  }
  if (largest == 0 || whole == 0) return errors;

  const int width = static_cast<int>(std::min<int64_t>(side, largest + kOversampling));
  if (method == SpectrumMethod::kAuto) {
    // A sketch a third as wide as the matrix saves nothing.
    const bool exact = side <= std::max<int64_t>(kShortSide, 3 * width);
    method = exact ? SpectrumMethod::kGram : SpectrumMethod::kSketch;
  }
  std::vector<double> squares;
  if (method == SpectrumMethod::kGram) {
    squares = GramSpectrum(matrix, rows, cols);
  } else if (const double norm = std::sqrt(whole); norm >= kLeastNorm && norm <= kLargestNorm) {
    squares = SketchSpectrum(matrix, rows, cols, width);
  } else {
    std::vector<float> scaled(matrix.size());
    const int exponent = std::ilogb(norm);
    for (size_t i = 0; i < scaled.size(); ++i) scaled[i] = std::scalbn(matrix[i], -exponent);
    squares = SketchSpectrum(scaled, rows, cols, width);
    for (double& square : squares) square = std::scalbn(square, 2 * exponent);
  }

  for (size_t k = 0; k < ranks.size(); ++k) {
    if (ranks[k] >= side) continue;
    double kept = 0;
    for (int i = 0; i < ranks[k]; ++i) kept += std::max(0.0, squares[i]);
    errors[k] = std::max(0.0, whole - kept);
  }
  return errors;
}

}  // namespace sluice
