#include "training/robust/layer_spectrum.h"

#include <cmath>
#include <limits>

#include "gtest/gtest.h"
#include "tests/training/robust/test_matrices.h"

namespace sluice {
namespace {

LayerSpectrum Of(const Matrix& w, int64_t groups = 1) {
  const std::vector<float> values = FloatsOf(w);
  return SpectrumOf(LayerOf(values, w.rows(), w.cols(), groups));
}

// In fp32 as layers have them, which is exact where a kappa is infinite.
TEST(LayerSpectrum, HasThePublishedValues) {
  for (const auto& one : TscncVectors()["matrices"]) {
    const LayerSpectrum got = Of(MatrixOf(one["W"]));
    const std::string name = one["name"];
    const double kappa = NumberOf(one["kappa"]);
    EXPECT_EQ(got.rank, one["rank"]) << name;
    EXPECT_NEAR(got.sigma_max, one["sigma"][0], 1e-6) << name;
    EXPECT_NEAR(got.sigma_min, one["sigma"].back(), 1e-6) << name;
    if (std::isinf(kappa)) {
      EXPECT_EQ(got.kappa, kappa) << name;
      EXPECT_NEAR(got.kappa_nonzero, one["kappa_nonzero"], 1e-6) << name;
    } else {
      EXPECT_NEAR(got.kappa / kappa, 1, kappa * 1e-7) << name;  // of the rounding to fp32
    }
    EXPECT_NEAR(got.phi, one["cnc_amgm_delta1e-6"], kappa > 1e4 ? 1e-2 : 1e-4) << name;
  }
}

TEST(LayerSpectrum, SmallSingularValuesAreNotLostInTheGramMatrix) {
  Matrix w = Matrix::Identity(4, 4);
  w(3, 3) = std::ldexp(1.0, -33);
  EXPECT_NEAR(Of(w).kappa * std::ldexp(1.0, -33), 1, 1e-9);
}

TEST(LayerSpectrum, WithoutZeroRowsAndColumnsKappaIsThatOfTheRest) {
  Matrix w = Matrix::Zero(4, 5);
  w(0, 1) = 3;
  w(2, 4) = 2;
  const LayerSpectrum got = Of(w);
  EXPECT_TRUE(std::isinf(got.kappa));
  EXPECT_EQ(got.rank, 2);
  EXPECT_NEAR(got.kappa_compact, 1.5, 1e-12);
  EXPECT_NEAR(got.sparsity, 0.9, 1e-12);
}

TEST(LayerSpectrum, OfGroupsTheWorstCounts) {
  Matrix w(4, 2);
  w << 1, 0, 0, 1, 4, 0, 0, 1;
  const LayerSpectrum got = Of(w, 2);
  EXPECT_NEAR(got.kappa, 4, 1e-12);
  EXPECT_EQ(got.groups, 2);
}

TEST(LayerSpectrum, AZeroMatrixHasNoFiniteKappa) {
  const LayerSpectrum got = Of(Matrix::Zero(2, 3));
  EXPECT_EQ(got.rank, 0);
  EXPECT_EQ(got.kappa_nonzero, 0);
  EXPECT_TRUE(std::isinf(got.kappa));
}

TEST(LayerSpectrum, OfVeryLargeOnesThereIsABoundFromBelow) {
  const Eigen::Index n = kLargestSpectrum + 1;
  Matrix w = Matrix::Zero(n, n);
  for (Eigen::Index i = 0; i < n; ++i) w(i, i) = i == 7 ? 5 : 1;
  const LayerSpectrum got = Of(w);
  EXPECT_FALSE(got.complete);
  EXPECT_LE(got.sigma_max, 5 + 1e-9);
  EXPECT_NEAR(got.sigma_max, 5, 1e-6);
}

TEST(LayerSpectrum, InfiniteKappasCountAsAMillion) {
  std::vector<LayerSpectrum> spectra(3);
  spectra[0].kappa = std::exp(1.0);
  spectra[1].kappa = std::numeric_limits<double>::infinity();
  spectra[2].complete = false;
  EXPECT_NEAR(MeanLogKappa(spectra), (1 + std::log(1e6)) / 2, 1e-12);
}

}  // namespace
}  // namespace sluice
