#include "training/robust/magnitude_pruning.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace sluice {
namespace {

// Ordered as magnitudes are, and total: also of what is not a number.
uint32_t MagnitudeBits(float value) {
  uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits & 0x7fffffffu;
}

struct Weight {
  uint32_t magnitude;
  int64_t index;

  friend bool operator<(const Weight& a, const Weight& b) {
    return a.magnitude != b.magnitude ? a.magnitude < b.magnitude : a.index < b.index;
  }
};

// By weight: whether it is the largest of its row, or of its column where these count.
std::vector<bool> Protected(const WeightMatrix& shape, KeepLines keep,
                            absl::Span<const float> weights) {
  const int64_t group_size = shape.group_rows() * shape.cols;
  std::vector<Weight> rows(static_cast<size_t>(shape.rows), {0, -1});
  std::vector<Weight> columns(static_cast<size_t>(shape.groups * shape.cols), {0, -1});
  for (int64_t i = 0; i < shape.rows * shape.cols; ++i) {
    const Weight weight{MagnitudeBits(weights[static_cast<size_t>(i)]), i};
    Weight& row = rows[static_cast<size_t>(i / shape.cols)];
    Weight& column = columns[static_cast<size_t>(i / group_size * shape.cols + i % shape.cols)];
    row = std::max(row, weight);
    column = std::max(column, weight);
  }
  std::vector<bool> stays(weights.size());
  for (const Weight& row : rows) stays[static_cast<size_t>(row.index)] = true;
  if (keep == KeepLines::kRows) return stays;
  for (const Weight& column : columns) stays[static_cast<size_t>(column.index)] = true;
  return stays;
}

}  // namespace

void PruneByMagnitude(const WeightMatrix& shape, double sparsity, KeepLines keep,
                      absl::Span<float> weights) {
  const auto asked = static_cast<size_t>(sparsity * static_cast<double>(weights.size()) + 1e-6);
  const std::vector<bool> stays = Protected(shape, keep, weights);
  std::vector<Weight> others;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (!stays[i]) others.push_back({MagnitudeBits(weights[i]), static_cast<int64_t>(i)});
  }
  const size_t count = std::min(asked, others.size());
  if (count < others.size()) {
    std::nth_element(others.begin(), others.begin() + static_cast<std::ptrdiff_t>(count),
                     others.end());
  }
  for (size_t k = 0; k < count; ++k) weights[static_cast<size_t>(others[k].index)] = 0;
}

double SparsityOf(absl::Span<const float> weights) {
  if (weights.empty()) return 0;
  const auto zeros = std::count(weights.begin(), weights.end(), 0.0f);
  return static_cast<double>(zeros) / static_cast<double>(weights.size());
}

}  // namespace sluice
