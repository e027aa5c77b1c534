#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace sluice {

/// How LowRankSquaredErrors finds singular values.
enum class SpectrumMethod {
  kAuto,    ///< kGram when the shorter side is short enough for it, else kSketch
  kGram,    ///< all of them, from the eigenvalues of the shorter side's Gram matrix, in doubles
  kSketch,  ///< the largest, by a randomised range finder
};

/// Squared error of the best approximation of `matrix` by each of `ranks`, all from one set of
/// singular values s: e(r)^2 = ||A||^2 - sum over i <= r of s[i]^2 (Eckart and Young 1936). This is
/// where LowRankTensor ends up while its matrix keeps its directions; it starts above.
///
/// kGram is exact, to about 1e-15 of ||A||^2. kSketch multiplies with 8 columns more than the largest
/// rank, there and back and in one power round, which makes 4 products for all ranks. What it finds is
/// above the best: by up to 5 % of the norm of the error where singular values hardly fall, by next to
/// nothing where they do, plus 1e-6 of ||A||^2 for fp32's rounding. Its columns come from a fixed key,
/// so that equal matrices have equal errors. How factors are rounded on the wire is not counted.
///
/// Cost, with n the shorter and m the longer side, w = largest rank + 8: kGram n^2 m + n^3 operations
/// in doubles; kSketch 8 n m w in floats and up to 12 w^2 (n + m) in doubles. Memory: 8 n (n + 1024)
/// or 4 w (n + m) bytes.
/// Source: Halko, Martinsson and Tropp 2011, "Finding structure with randomness".
///
/// \param matrix  row-major rows x cols; NaN for every rank when a value is not finite
/// \param ranks   each at least 1; from min(rows, cols) on the error is 0
/// \pre rows, cols >= 1 and matrix.size() == rows * cols
std::vector<double> LowRankSquaredErrors(absl::Span<const float> matrix, int64_t rows, int64_t cols,
                                         absl::Span<const int> ranks,
                                         SpectrumMethod method = SpectrumMethod::kAuto);

}  // namespace sluice
