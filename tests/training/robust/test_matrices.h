#pragma once

#include <vector>

#include "base/random.h"
#include "nlohmann/json.hpp"
#include "training/robust/weight_matrix.h"

namespace sluice {

/// testdata/tscnc_vectors.json, read; null after a failure of the test.
nlohmann::json TscncVectors();

/// A number, or "inf".
double NumberOf(const nlohmann::json& number);

/// Of rows, each a list of numbers.
Matrix MatrixOf(const nlohmann::json& rows);

/// Entries from the standard normal distribution; a function of the key.
Matrix GaussianMatrix(Eigen::Index rows, Eigen::Index cols, RandomKey key);

/// Orthogonal, n x n; a function of the key.
Matrix RandomRotation(Eigen::Index n, RandomKey key);

/// In fp32, and as a layer that borrows them.
std::vector<float> FloatsOf(const Matrix& w);
WeightMatrix LayerOf(const std::vector<float>& values, int64_t rows, int64_t cols,
                     int64_t groups = 1);

}  // namespace sluice
