#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "training/robust/weight_matrix.h"

namespace sluice {

/// How far a matrix is from having singular values that all agree. W is rows x cols, r = min(rows, cols), lambda_i
/// the squares of its r singular values, t their mean. Logs are natural.
enum class ConditionKind {
  /// ln(t (1 + delta)) - (1/r) sum ln(lambda_i + delta t): the log of the arithmetic over the geometric mean. From 0, there
  /// exactly when kappa is 1; the same for c W and for every rotation of W; kappa <= 2 exp(r value / 2) for delta = 0
  /// (Guggenheimer, Edelman & Johnson, 1995).
  kAmgm,
  /// ((1/r) sum ln(lambda_i / max(rows, cols) + delta))^2. Depends on the scale of W.
  kLogdet,
  /// ln(1e-5 + det(W^T W / cols))^2, W stored inputs x outputs. As the code of Feng et al., 2025 (arXiv 2503.20454)
  /// has it; depends on the scale, and is flat where the determinant is below 1e-5.
  kRepoDet,
  /// ln sigma_1 - ln max(sigma_r, sqrt(delta) sigma_1), by a singular value decomposition: for small r.
  kLogkappa,
};

/// "amgm", "logdet", "repo_det", "logkappa". \error kInvalidArgument  another word
absl::StatusOr<ConditionKind> ParseConditionKind(absl::string_view word);

struct ConstraintValue {
  double value = 0;
  Matrix gradient;  ///< of the matrix' shape
  bool collapsed =
      false;  ///< W is zero (t < 1e-30): value and gradient are 0, where the kind depends on no scale
};

/// Value and closed-form gradient. Cost: r^2 max(rows, cols) + r^3 multiplications, or a decomposition.
/// \param delta  above 0; kRepoDet has none
/// \pre w is not empty and finite
ConstraintValue ConditionConstraint(ConditionKind kind, double delta, const Matrix& w);

/// The same for a layer: the mean over its groups. kRepoDet takes its outputs as columns.
/// \return with a gradient of weight.rows x weight.cols; collapsed if any group is
ConstraintValue ConditionConstraint(ConditionKind kind, double delta, const WeightMatrix& weight);

}  // namespace sluice
