#include "training/robust/condition_constraint.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr double kRepoFloor = 1e-5;
constexpr double kZero = 1e-30;

ConstraintValue Zero(const Matrix& w, bool collapsed) {
  return {0, Matrix::Zero(w.rows(), w.cols()), collapsed};
}

// Of a positive definite matrix: the log of its determinant, and its inverse.
struct Inverted {
  double log_determinant = 0;
  Matrix inverse;
};

Inverted Invert(const Matrix& positive) {
  const Eigen::LLT<Matrix> factor(positive);
  Inverted inverted;
  inverted.log_determinant = 2 * factor.matrixLLT().diagonal().array().log().sum();
  inverted.inverse = factor.solve(Matrix::Identity(positive.rows(), positive.cols()));
  return inverted;
}

// What follows is for tall matrices: the smaller Gram matrix is W^T W.

ConstraintValue Amgm(double delta, const Matrix& w) {
  const double r = static_cast<double>(w.cols());
  const double t = w.squaredNorm() / r;
  if (t < kZero) return Zero(w, /*collapsed=*/true);
  Matrix gram = w.transpose() * w;
  gram.diagonal().array() += delta * t;
  const Inverted inverted = Invert(gram);
  ConstraintValue result;
  result.value = std::log(t * (1 + delta)) - inverted.log_determinant / r;
  const double of_trace = 1 / (r * t) - delta / (r * r) * inverted.inverse.trace();
  result.gradient = 2 * of_trace * w - (2 / r) * (w * inverted.inverse);
  return result;
}

ConstraintValue Logdet(double delta, const Matrix& w) {
  const double r = static_cast<double>(w.cols()), side = static_cast<double>(w.rows());
  Matrix gram = w.transpose() * w / side;
  gram.diagonal().array() += delta;
  const Inverted inverted = Invert(gram);
  const double mean = inverted.log_determinant / r;
  ConstraintValue result;
  result.value = mean * mean;
  result.gradient = (4 * mean / (r * side)) * (w * inverted.inverse);
  return result;
}

ConstraintValue RepoDet(const Matrix& w) {
  const double most = std::log(kRepoFloor);
  ConstraintValue result = Zero(w, false);
  result.value = most * most;
  if (w.cols() > w.rows()) return result;  // the determinant is 0 for every W of this shape
  const double columns = static_cast<double>(w.cols());
  const Matrix gram = w.transpose() * w / columns;
  const Eigen::FullPivLU<Matrix> factor(gram);
  const double determinant = factor.determinant();
  const double log = std::log(kRepoFloor + std::max(0.0, determinant));
  result.value = log * log;
  // W times the adjugate vanishes with the determinant.
  if (determinant <= 0 || !factor.isInvertible()) return result;
  result.gradient =
      (4 * log * determinant / ((kRepoFloor + determinant) * columns)) * (w * factor.inverse());
  return result;
}

ConstraintValue Logkappa(double delta, const Matrix& w) {
  const Eigen::BDCSVD<Eigen::MatrixXd> svd(w, Eigen::ComputeThinU | Eigen::ComputeThinV);
  const auto& sigma = svd.singularValues();
  const Eigen::Index last = sigma.size() - 1;
  if (sigma[0] * sigma[0] < kZero) return Zero(w, /*collapsed=*/true);
  const double floor = std::sqrt(delta) * sigma[0];
  ConstraintValue result = Zero(w, false);
  result.value = std::log(sigma[0] / std::max(sigma[last], floor));
  if (sigma[last] <= floor) return result;  // both ends move with sigma_1
  result.gradient = svd.matrixU().col(0) * svd.matrixV().col(0).transpose() / sigma[0] -
                    svd.matrixU().col(last) * svd.matrixV().col(last).transpose() / sigma[last];
  return result;
}

}  // namespace

absl::StatusOr<ConditionKind> ParseConditionKind(absl::string_view word) {
  if (word == "amgm") return ConditionKind::kAmgm;
  if (word == "logdet") return ConditionKind::kLogdet;
  if (word == "repo_det") return ConditionKind::kRepoDet;
  if (word == "logkappa") return ConditionKind::kLogkappa;
  return absl::InvalidArgumentError(absl::StrCat(
      "condition constraint \"", word, "\": expected amgm, logdet, repo_det or logkappa"));
}

ConstraintValue ConditionConstraint(ConditionKind kind, double delta, const Matrix& w) {
  if (kind == ConditionKind::kRepoDet) return RepoDet(w);
  if (kind == ConditionKind::kLogkappa) return Logkappa(delta, w);
  const bool wide = w.cols() > w.rows();
  const Matrix tall = wide ? Matrix(w.transpose()) : w;
  ConstraintValue result = kind == ConditionKind::kAmgm ? Amgm(delta, tall) : Logdet(delta, tall);
  if (wide) result.gradient = Matrix(result.gradient.transpose());
  return result;
}

ConstraintValue ConditionConstraint(ConditionKind kind, double delta, const WeightMatrix& weight) {
  ConstraintValue sum;
  sum.gradient.resize(weight.rows, weight.cols);
  const double share = 1 / static_cast<double>(weight.groups);
  for (int64_t g = 0; g < weight.groups; ++g) {
    const bool by_outputs = kind == ConditionKind::kRepoDet;
    const Matrix w = weight.Group(g);
    ConstraintValue one = ConditionConstraint(kind, delta, by_outputs ? Matrix(w.transpose()) : w);
    if (by_outputs) one.gradient = Matrix(one.gradient.transpose());
    sum.value += share * one.value;
    sum.gradient.middleRows(g * weight.group_rows(), weight.group_rows()) = share * one.gradient;
    sum.collapsed = sum.collapsed || one.collapsed;
  }
  return sum;
}

}  // namespace sluice
