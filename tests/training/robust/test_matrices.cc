#include "tests/training/robust/test_matrices.h"

#include <cmath>
#include <fstream>
#include <limits>

#include "gtest/gtest.h"

namespace sluice {

nlohmann::json TscncVectors() {
  std::ifstream file("tests/training/robust/testdata/tscnc_vectors.json");
  nlohmann::json vectors = nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
  EXPECT_TRUE(vectors.is_object()) << "no vectors";
  return vectors.is_object() ? vectors : nlohmann::json();
}

double NumberOf(const nlohmann::json& number) {
  return number.is_string() ? std::numeric_limits<double>::infinity() : number.get<double>();
}

Matrix MatrixOf(const nlohmann::json& rows) {
  Matrix w(rows.size(), rows.at(0).size());
  for (Eigen::Index i = 0; i < w.rows(); ++i) {
    for (Eigen::Index j = 0; j < w.cols(); ++j) w(i, j) = rows.at(i).at(j).get<double>();
  }
  return w;
}

Matrix GaussianMatrix(Eigen::Index rows, Eigen::Index cols, RandomKey key) {
  Matrix w(rows, cols);
  const auto uniform = [&](uint64_t counter) {
    return (static_cast<double>(key.Bits(counter) >> 11) + 0.5) * std::ldexp(1.0, -53);
  };
  for (Eigen::Index i = 0; i < w.size(); ++i) {
    const auto c = static_cast<uint64_t>(i);
    w.data()[i] =
        std::sqrt(-2 * std::log(uniform(2 * c))) * std::cos(2 * M_PI * uniform(2 * c + 1));
  }
  return w;
}

Matrix RandomRotation(Eigen::Index n, RandomKey key) {
  return Eigen::HouseholderQR<Matrix>(GaussianMatrix(n, n, key)).householderQ();
}

std::vector<float> FloatsOf(const Matrix& w) {
  std::vector<float> values;
  for (Eigen::Index i = 0; i < w.size(); ++i) values.push_back(static_cast<float>(w.data()[i]));
  return values;
}

WeightMatrix LayerOf(const std::vector<float>& values, int64_t rows, int64_t cols, int64_t groups) {
  return {"layer", values, rows, cols, groups};
}

}  // namespace sluice
