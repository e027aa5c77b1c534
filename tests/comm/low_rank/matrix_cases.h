#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "base/random.h"
#include "comm/low_rank/low_rank_tensor.h"

namespace sluice {

/// A shape and a rank to try on it.
struct MatrixCase {
  int64_t rows = 0;
  int64_t cols = 0;
  int rank = 0;
};

/// Thin, wide, tiny and tile-crossing shapes; ranks of every remainder of the kernels' blocks.
std::vector<MatrixCase> InterestingMatrices();

/// About normal values, a function of the key alone.
std::vector<float> RandomMatrix(RandomKey key, int64_t elements, float scale = 1.0f);

/// rows x cols with exactly these singular values (to fp32's rounding).
std::vector<float> MatrixOfSpectrum(RandomKey key, int64_t rows, int64_t cols,
                                    absl::Span<const double> singular_values);

/// sqrt(sum of squares), of the difference if `b` is not empty.
double Norm(absl::Span<const float> a, absl::Span<const float> b = {});

/// The bit patterns of floats, to compare NaN and signed zeros too.
std::vector<uint32_t> BitsOf(absl::Span<const float> values);

/// What one step of one rank gave.
struct StepResult {
  std::vector<float> factor;
  std::vector<float> result;
  std::vector<float> residual;
};

/// Encode and Decode with no other rank.
StepResult RunAlone(LowRankTensor* tensor, Step step, const std::vector<float>& matrix);

}  // namespace sluice
