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

// The operator of a 3x3 convolution of one channel on an n x n image with zero padding of 1, as a matrix.
Matrix ConvolutionOperator(const Matrix& kernel, Eigen::Index n, Eigen::Index stride) {
  const Eigen::Index out = (n - 1) / stride + 1;
  Matrix op = Matrix::Zero(out * out, n * n);
  for (Eigen::Index y = 0; y < out; ++y) {
    for (Eigen::Index x = 0; x < out; ++x) {
      for (Eigen::Index place = 0; place < 9; ++place) {
        const Eigen::Index row = y * stride + place / 3 - 1, col = x * stride + place % 3 - 1;
        if (row < 0 || row >= n || col < 0 || col >= n) continue;
        op(y * out + x, row * n + col) = kernel(0, place);
      }
    }
  }
  return op;
}

TEST(LayerSpectrum, NoConvolutionExceedsItsLipschitzBound) {
  const Matrix kernels[] = {Matrix::Ones(1, 9), Matrix::Random(1, 9), Matrix::Random(1, 9)};
  for (const Matrix& kernel : kernels) {
    const std::vector<float> values(kernel.data(), kernel.data() + kernel.size());
    WeightMatrix weight = LayerOf(values, 1, 9);
    weight.places = 9;
    const double bound = SpectrumOf(weight).lipschitz;
    for (const Eigen::Index n : {1, 2, 5, 9}) {
      for (const Eigen::Index stride : {1, 2}) {
        const Eigen::BDCSVD<Eigen::MatrixXd> svd(ConvolutionOperator(kernel, n, stride));
        EXPECT_LE(svd.singularValues()[0], bound * (1 + 1e-6));
      }
    }
  }
  // A box's bound is nearly reached on large images: it is no loose one.
  const std::vector<float> box(9, 1.0f);
  WeightMatrix weight = LayerOf(box, 1, 9);
  weight.places = 9;
  EXPECT_NEAR(SpectrumOf(weight).lipschitz, 9, 1e-9);
}

TEST(LayerSpectrum, TheLipschitzBoundIsOfAllGroups) {
  Matrix w(4, 2);
  w << 7, 0, 0, 7, 4, 0, 0, 1;
  const LayerSpectrum got = Of(w, 2);  // the second group is the worse conditioned one
  EXPECT_NEAR(got.sigma_max, 4, 1e-12);
  EXPECT_NEAR(got.lipschitz, 7, 1e-12);
}

TEST(LayerSpectrum, OfVeryLargeOnesTheLipschitzBoundIsFromAbove) {
  const Eigen::Index n = kLargestSpectrum + 1;
  Matrix w = Matrix::Zero(n, n);
  for (Eigen::Index i = 0; i < n; ++i) w(i, i) = i == 7 ? 5 : 1;
  EXPECT_NEAR(Of(w).lipschitz, 5, 1e-9);  // of sums; the Frobenius norm is 32
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
