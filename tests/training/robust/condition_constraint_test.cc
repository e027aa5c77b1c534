#include "training/robust/condition_constraint.h"

#include <cmath>

#include "gtest/gtest.h"
#include "tests/training/robust/test_matrices.h"

namespace sluice {
namespace {

constexpr double kDelta = 1e-6;
constexpr ConditionKind kAll[] = {ConditionKind::kAmgm, ConditionKind::kLogdet,
                                  ConditionKind::kRepoDet, ConditionKind::kLogkappa};

double Value(ConditionKind kind, const Matrix& w, double delta = kDelta) {
  return ConditionConstraint(kind, delta, w).value;
}

double Kappa(const Matrix& w) {
  const Eigen::JacobiSVD<Eigen::MatrixXd> svd(w);
  return svd.singularValues()[0] / svd.singularValues()[svd.singularValues().size() - 1];
}

// The largest difference between the gradient and central differences.
double GradientError(ConditionKind kind, const Matrix& w) {
  constexpr double kH = 1e-6;
  const Matrix gradient = ConditionConstraint(kind, kDelta, w).gradient;
  double worst = 0;
  for (Eigen::Index i = 0; i < w.size(); ++i) {
    Matrix up = w, down = w;
    up.data()[i] += kH;
    down.data()[i] -= kH;
    const double slope = (Value(kind, up) - Value(kind, down)) / (2 * kH);
    worst = std::max(worst, std::abs(slope - gradient.data()[i]));
  }
  return worst;
}

TEST(ConditionConstraint, HasThePublishedValues) {
  for (const auto& one : TscncVectors()["matrices"]) {
    const Matrix w = MatrixOf(one["W"]);
    const std::string name = one["name"];
    EXPECT_NEAR(Value(ConditionKind::kAmgm, w), one["cnc_amgm_delta1e-6"], 1e-9) << name;
    EXPECT_NEAR(Value(ConditionKind::kRepoDet, w), one["cnc_repo"], 1e-9) << name;
    EXPECT_NEAR(Value(ConditionKind::kLogkappa, w, 1e-12), one["log_kappa_truncated_1e-6"], 1e-9)
        << name;
  }
}

TEST(ConditionConstraint, HasThePublishedGradients) {
  for (const auto& one : TscncVectors()["constraint_gradients"]) {
    for (const auto& matrix : TscncVectors()["matrices"]) {
      if (matrix["name"] != one["matrix"]) continue;
      const bool amgm = one["function"] == "cnc_amgm_delta1e-6";
      const auto got = ConditionConstraint(amgm ? ConditionKind::kAmgm : ConditionKind::kRepoDet,
                                           kDelta, MatrixOf(matrix["W"]));
      EXPECT_NEAR(got.value, one["value"], 1e-9);
      EXPECT_LT((got.gradient - MatrixOf(one["grad"])).cwiseAbs().maxCoeff(), 1e-9)
          << one["matrix"] << " " << one["function"];
    }
  }
}

TEST(ConditionConstraint, TheGradientIsThatOfCentralDifferences) {
  for (const ConditionKind kind : kAll) {
    for (const auto& [rows, cols] : {std::pair{6, 4}, {4, 6}, {5, 5}, {1, 7}, {7, 1}}) {
      const Matrix w = GaussianMatrix(rows, cols, RandomKey(3).With(rows).With(cols));
      EXPECT_LT(GradientError(kind, w), 1e-6)
          << static_cast<int>(kind) << " " << rows << " x " << cols;
    }
  }
}

TEST(ConditionConstraint, AmgmDoesNotDependOnTheScale) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const Matrix w = GaussianMatrix(8, 5, RandomKey(seed));
    const auto one = ConditionConstraint(ConditionKind::kAmgm, kDelta, w);
    for (const double c : {1e-3, 1e3}) {
      EXPECT_NEAR(Value(ConditionKind::kAmgm, c * w), one.value, 1e-9 * (1 + one.value));
    }
    EXPECT_NEAR((one.gradient.array() * w.array()).sum(), 0, 1e-9) << "Euler's identity";
  }
}

TEST(ConditionConstraint, AmgmDoesNotDependOnRotationsAndTransposition) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const RandomKey key(seed);
    const Matrix w = GaussianMatrix(8, 5, key);
    const double value = Value(ConditionKind::kAmgm, w);
    EXPECT_NEAR(Value(ConditionKind::kAmgm, RandomRotation(8, key.With("left")) * w), value, 1e-9);
    EXPECT_NEAR(Value(ConditionKind::kAmgm, w * RandomRotation(5, key.With("right"))), value, 1e-9);
    EXPECT_NEAR(Value(ConditionKind::kAmgm, w.transpose()), value, 1e-9);
  }
}

TEST(ConditionConstraint, AmgmBoundsKappa) {
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    const RandomKey key(seed);
    const auto rows = static_cast<Eigen::Index>(1 + key.Below(1000, 12));
    const auto cols = static_cast<Eigen::Index>(1 + key.Below(1001, 12));
    const Matrix w = GaussianMatrix(rows, cols, key);
    const double r = static_cast<double>(std::min(rows, cols));
    // Next to delta = 0, where it holds.
    const double value = Value(ConditionKind::kAmgm, w, 1e-14);
    EXPECT_LE(Kappa(w), 2 * std::exp(r * value / 2) * (1 + 1e-5)) << "seed " << seed;
  }
}

TEST(ConditionConstraint, AStepDownTheGradientImprovesKappa) {
  Matrix w = GaussianMatrix(6, 6, RandomKey(5));
  const double before = Kappa(w);
  for (int i = 0; i < 200; ++i) {
    w -= 0.05 * ConditionConstraint(ConditionKind::kAmgm, kDelta, w).gradient;
  }
  EXPECT_LT(Kappa(w), before / 2);
}

TEST(ConditionConstraint, ZeroMatricesAreCollapsed) {
  for (const ConditionKind kind : {ConditionKind::kAmgm, ConditionKind::kLogkappa}) {
    const auto got = ConditionConstraint(kind, kDelta, Matrix::Zero(3, 4));
    EXPECT_TRUE(got.collapsed);
    EXPECT_EQ(got.value, 0);
    EXPECT_EQ(got.gradient, Matrix::Zero(3, 4));
  }
}

TEST(ConditionConstraint, SingularMatricesHaveFiniteGradients) {
  Matrix w = GaussianMatrix(6, 4, RandomKey(7));
  w.col(2).setZero();
  w.row(1).setZero();
  for (const ConditionKind kind : kAll) {
    const auto got = ConditionConstraint(kind, kDelta, w);
    EXPECT_TRUE(std::isfinite(got.value) && got.gradient.allFinite()) << static_cast<int>(kind);
  }
}

TEST(ConditionConstraint, RepoDetIsFlatWhereThereAreMoreOutputsThanInputs) {
  const auto got =
      ConditionConstraint(ConditionKind::kRepoDet, kDelta, GaussianMatrix(3, 5, RandomKey(1)));
  EXPECT_NEAR(got.value, 132.54745276, 1e-8);
  EXPECT_EQ(got.gradient, Matrix::Zero(3, 5));
}

TEST(ConditionConstraint, ALayersValueIsTheMeanOfItsGroups) {
  const Matrix one = GaussianMatrix(3, 5, RandomKey(1)), two = GaussianMatrix(3, 5, RandomKey(2));
  Matrix both(6, 5);
  both << one, two;
  const std::vector<float> values = FloatsOf(both);
  const WeightMatrix layer = LayerOf(values, 6, 5, 2);
  const auto got = ConditionConstraint(ConditionKind::kAmgm, kDelta, layer);
  const auto of = [&](int64_t group) {
    return ConditionConstraint(ConditionKind::kAmgm, kDelta, layer.Group(group));
  };
  EXPECT_NEAR(got.value, (of(0).value + of(1).value) / 2, 1e-12);
  EXPECT_LT((got.gradient.bottomRows(3) - of(1).gradient / 2).cwiseAbs().maxCoeff(), 1e-12);
}

TEST(ConditionConstraint, ALayersRepoDetHasItsOutputsAsColumns) {
  const Matrix w = GaussianMatrix(2, 5, RandomKey(4));  // outputs x inputs
  const std::vector<float> values = FloatsOf(w);
  const auto got = ConditionConstraint(ConditionKind::kRepoDet, kDelta, LayerOf(values, 2, 5));
  EXPECT_NEAR(got.value, Value(ConditionKind::kRepoDet, w.transpose()), 1e-4);
  EXPECT_EQ(got.gradient.rows(), 2);
}

TEST(ConditionConstraint, UnknownKindsAreNamed) {
  EXPECT_TRUE(ParseConditionKind("amgm").ok());
  EXPECT_EQ(ParseConditionKind("kappa").status().message(),
            "condition constraint \"kappa\": expected amgm, logdet, repo_det or logkappa");
}

}  // namespace
}  // namespace sluice
