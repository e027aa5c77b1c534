#include "comm/low_rank/orthonormalise.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "gtest/gtest.h"
#include "tests/comm/low_rank/matrix_cases.h"

namespace sluice {
namespace {

double Dot(const Factor& a, int i, const Factor& b, int j) {
  double sum = 0;
  for (int64_t n = 0; n < a.length(); ++n) {
    sum += static_cast<double>(a.column(i)[n]) * b.column(j)[n];
  }
  return sum;
}

// Largest entry of |B^T B - I|.
double Defect(const Factor& basis) {
  double worst = 0;
  for (int i = 0; i < basis.columns(); ++i) {
    for (int j = 0; j <= i; ++j) {
      worst = std::fmax(worst, std::fabs(Dot(basis, i, basis, j) - (i == j ? 1 : 0)));
    }
  }
  return worst;
}

Factor RandomFactor(int64_t length, int columns, uint64_t seed = 1) {
  Factor factor(length, columns);
  for (int k = 0; k < columns; ++k) factor.FillColumn(k, RandomKey(seed).With(k));
  return factor;
}

Factor Orthonormalised(Factor factor) {
  std::vector<double> scratch(factor.columns());
  Orthonormalise(RandomKey(5), &factor, &scratch);
  return factor;
}

TEST(Orthonormalise, ColumnsAreOrthonormal) {
  for (int64_t length : {1, 2, 7, 8, 9, 16, 17, 100, 1000, 4608}) {
    for (int columns : {1, 2, 3, 4, 5, 8, 31, 64}) {
      if (columns > length) continue;
      EXPECT_LT(Defect(Orthonormalised(RandomFactor(length, columns))), 5e-7)
          << length << " x " << columns;
    }
  }
}

TEST(Orthonormalise, LeadingColumnsSpanWhatTheySpanned) {
  const Factor before = RandomFactor(50, 6);
  const Factor after = Orthonormalised(before);
  for (int k = 0; k < 6; ++k) {
    // All of column k lies in the first k + 1 new columns.
    double inside = 0;
    for (int i = 0; i <= k; ++i) inside += std::pow(Dot(after, i, before, k), 2);
    EXPECT_NEAR(inside / Dot(before, k, before, k), 1, 1e-6) << k;
    EXPECT_GT(Dot(after, k, before, k), 0) << k;
  }
}

TEST(Orthonormalise, NearlyDependentColumnsAreOrthonormalToo) {
  // A classical case that ruins one pass of Gram-Schmidt (Lauchli 1961).
  for (float epsilon : {1e-2f, 1e-4f, 1e-6f, 1e-8f, 0.0f}) {
    Factor factor(20, 5);
    for (int k = 0; k < 5; ++k) {
      factor.column(k)[0] = 1;
      factor.column(k)[k + 1] = epsilon;
    }
    EXPECT_LT(Defect(Orthonormalised(factor)), 5e-7) << epsilon;
  }
  Factor factor = RandomFactor(300, 8);
  for (int k = 1; k < 8; ++k) {
    for (int64_t i = 0; i < 300; ++i) {
      factor.column(k)[i] = factor.column(0)[i] + std::pow(10.0f, -k) * factor.column(k)[i];
    }
  }
  EXPECT_LT(Defect(Orthonormalised(factor)), 5e-7);
}

TEST(Orthonormalise, SpoiltColumnsAreReplaced) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  for (float bad : {0.0f, nan, infinity, -infinity}) {
    for (int64_t length : {4, 40}) {
      Factor factor = RandomFactor(length, 4);
      if (bad == 0) factor.ZeroColumn(2);
      factor.column(2)[1] = bad;
      EXPECT_LT(Defect(Orthonormalised(factor)), 5e-7) << bad << ", length " << length;
    }
  }
  EXPECT_LT(Defect(Orthonormalised(Factor(12, 12))), 5e-7) << "all zero, square";
}

TEST(Orthonormalise, AnyMagnitudeGivesTheSameBasis) {
  const Factor expected = Orthonormalised(RandomFactor(100, 5));
  for (float scale : {0x1p-120f, 0x1p-20f, 0x1p120f}) {
    Factor scaled = RandomFactor(100, 5);
    for (int k = 0; k < 5; ++k) {
      for (int64_t i = 0; i < 100; ++i) scaled.column(k)[i] *= scale;
    }
    const Factor basis = Orthonormalised(scaled);
    for (int k = 0; k < 5; ++k) {
      EXPECT_NEAR(Dot(basis, k, expected, k), 1, 1e-5) << scale << ", column " << k;
    }
  }
}

TEST(Orthonormalise, TheBasisIsAFunctionOfTheFactor) {
  std::vector<float> first(500);
  std::vector<float> second(500);
  Orthonormalised(RandomFactor(100, 5)).CopyTo(absl::MakeSpan(first));
  Orthonormalised(RandomFactor(100, 5)).CopyTo(absl::MakeSpan(second));
  EXPECT_EQ(BitsOf(first), BitsOf(second));
}

}  // namespace
}  // namespace sluice
