#pragma once

#include <cstdint>
#include <eigen3/Eigen/Dense>
#include <string>

#include "absl/types/span.h"

namespace sluice {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// The weight of a linear or convolution layer, looked at as matrices: one row per output, one column per input (of
/// a convolution: per input channel and place in its kernel). A grouped convolution has a matrix per group.
struct WeightMatrix {
  std::string name;
  absl::Span<const float>
      values;        ///< rows x cols, row-major; the groups' matrices one below the other
  int64_t rows = 0;  ///< of all groups together
  int64_t cols = 0;
  int64_t groups = 1;
  int64_t places = 1;  ///< in a convolution's kernel, of cols

  int64_t group_rows() const { return rows / groups; }
  /// Singular values of one group's matrix.
  int64_t rank_limit() const { return group_rows() < cols ? group_rows() : cols; }
  /// In double: what is computed of a matrix squares its condition number.
  Matrix Group(int64_t group) const {
    using FloatMatrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    return Eigen::Map<const FloatMatrix>(values.data() + group * group_rows() * cols, group_rows(),
                                         cols)
        .cast<double>();
  }
};

}  // namespace sluice
