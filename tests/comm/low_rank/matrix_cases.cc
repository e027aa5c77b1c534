#include "tests/comm/low_rank/matrix_cases.h"

#include <cmath>
#include <cstring>

#include "comm/low_rank/factor.h"
#include "comm/low_rank/orthonormalise.h"

namespace sluice {
namespace {

Factor RandomOrthonormal(RandomKey key, int64_t length, int columns) {
  Factor factor(length, columns);
  for (int k = 0; k < columns; ++k) factor.FillColumn(k, key.With(k));
  std::vector<double> scratch(columns);
  Orthonormalise(key, &factor, &scratch);
  return factor;
}

}  // namespace

std::vector<MatrixCase> InterestingMatrices() {
  return {{1, 1, 1},   {1, 7, 1},    {7, 1, 3},     {2, 2, 1},     {3, 5, 2},    {5, 3, 9},
          {8, 8, 7},   {9, 17, 4},   {17, 9, 3},    {33, 31, 5},   {64, 9, 4},   {64, 147, 8},
          {40, 65, 6}, {16, 300, 1}, {12, 1025, 2}, {11, 2100, 4}, {1030, 6, 3}, {100, 530, 33}};
}

std::vector<float> RandomMatrix(RandomKey key, int64_t elements, float scale) {
  Factor column(elements, 1);
  column.FillColumn(0, key);
  std::vector<float> values(column.data(), column.data() + elements);
  for (float& value : values) value *= scale;
  return values;
}

std::vector<float> MatrixOfSpectrum(RandomKey key, int64_t rows, int64_t cols,
                                    absl::Span<const double> singular_values) {
  const int count = static_cast<int>(singular_values.size());
  const Factor left = RandomOrthonormal(key.With(1), rows, count);
  const Factor right = RandomOrthonormal(key.With(2), cols, count);
  std::vector<float> matrix(rows * cols);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < cols; ++j) {
      double sum = 0;
      for (int k = 0; k < count; ++k) {
        sum += singular_values[k] * left.column(k)[i] * right.column(k)[j];
      }
      matrix[i * cols + j] = static_cast<float>(sum);
    }
  }
  return matrix;
}

double Norm(absl::Span<const float> a, absl::Span<const float> b) {
  double square = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double x = static_cast<double>(a[i]) - (b.empty() ? 0.0 : b[i]);
    square += x * x;
  }
  return std::sqrt(square);
}

std::vector<uint32_t> BitsOf(absl::Span<const float> values) {
  std::vector<uint32_t> bits(values.size());
  if (!bits.empty()) std::memcpy(bits.data(), values.data(), bits.size() * sizeof(uint32_t));
  return bits;
}

StepResult RunAlone(LowRankTensor* tensor, Step step, const std::vector<float>& matrix) {
  StepResult out;
  out.factor.resize(tensor->FactorElements(step));
  out.result = matrix;
  out.residual.resize(matrix.size());
  tensor->Encode(step, matrix, absl::MakeSpan(out.factor));
  tensor->Decode(step, out.factor, out.factor, absl::MakeSpan(out.result),
                 absl::MakeSpan(out.residual));
  return out;
}

}  // namespace sluice
