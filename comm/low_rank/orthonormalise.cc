#include "comm/low_rank/orthonormalise.h"

#include <cmath>
#include <limits>

#include "base/check.h"
#include "comm/low_rank/kernels.h"

namespace sluice {
namespace {

constexpr double kDependent = 1e-6;    // of a column's norm, left by the columns before it
constexpr double kCancelled = 0.5;     // less is left: the rest needs a second projection
constexpr uint64_t kReplacements = 4;  // each fails with a probability of about 1e-6

double Norm(const Factor& factor, const float* v) {
  double square = 0;
  ColumnDots(v, factor.stride(), 1, v, factor.length(), &square);
  return std::sqrt(square);
}

// False for zero, NaN and infinity.
bool Normalise(const Factor& factor, double norm, float* v) {
  if (!(norm > 0 && norm <= std::numeric_limits<double>::max())) return false;
  Scale(1 / norm, v, factor.length());
  return true;
}

// Column k minus its projection on those before it, at unit length; false if next to nothing is left.
bool OrthonormaliseColumn(int k, Factor* factor, double* dots) {
  float* v = factor->column(k);
  // Unit length first: then nothing below depends on the magnitude of gradients.
  if (!Normalise(*factor, Norm(*factor, v), v)) return false;
  double left = 1;
  for (int pass = 0; pass < 2 && k > 0; ++pass) {
    ColumnDots(factor->data(), factor->stride(), k, v, factor->length(), dots);
    SubtractColumns(factor->data(), factor->stride(), k, dots, v, factor->length());
    const double norm = Norm(*factor, v);
    if (!(left * norm > kDependent) || !Normalise(*factor, norm, v)) return false;
    left *= norm;
    if (norm > kCancelled) break;
  }
  return true;
}

bool ReplaceColumn(RandomKey key, int k, Factor* factor, double* dots) {
  for (uint64_t attempt = 0; attempt < kReplacements; ++attempt) {
    factor->FillColumn(k, key.With(k).With(attempt));
    if (OrthonormaliseColumn(k, factor, dots)) return true;
  }
  return false;
}

}  // namespace

void Orthonormalise(RandomKey key, Factor* factor, std::vector<double>* scratch) {
  SLUICE_CHECK(factor->columns() <= factor->length(), "more columns than dimensions");
  SLUICE_CHECK(static_cast<int>(scratch->size()) >= factor->columns(), "scratch is too small");
  for (int k = 0; k < factor->columns(); ++k) {
    if (OrthonormaliseColumn(k, factor, scratch->data())) continue;
    if (!ReplaceColumn(key, k, factor, scratch->data())) factor->ZeroColumn(k);
  }
}

}  // namespace sluice
