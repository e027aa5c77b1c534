#include "comm/low_rank/low_rank_tensor.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "comm/low_rank/kernels.h"
#include "comm/low_rank/orthonormalise.h"

namespace sluice {
namespace {

// Parts of the key.
constexpr uint64_t kLeftSeed = 1;
constexpr uint64_t kRightSeed = 2;
constexpr uint64_t kLeftBasis = 3;
constexpr uint64_t kRightBasis = 4;

int Clamp(int64_t rows, int64_t cols, int rank) {
  SLUICE_CHECK(rows >= 1 && cols >= 1, "an empty tensor has no factors");
  SLUICE_CHECK(rank >= 1, "a rank is at least 1");
  return static_cast<int>(std::min<int64_t>({rank, rows, cols}));
}

// The square of a column's norm; 0 for one that the next basis will not use.
double SquaredNorm(const Factor& factor, int k) {
  double square = 0;
  ColumnDots(factor.column(k), factor.stride(), 1, factor.column(k), factor.length(), &square);
  return std::isfinite(square) ? square : 0;
}

Factor SelectColumns(const Factor& factor, absl::Span<const int> columns) {
  Factor selected(factor.length(), static_cast<int>(columns.size()));
  for (size_t k = 0; k < columns.size(); ++k) {
    std::copy_n(factor.column(columns[k]), factor.length(), selected.column(k));
  }
  return selected;
}

// Row-major rows x cols to row-major cols x rows.
void Transpose(const float* in, int64_t rows, int64_t cols, float* out) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < cols; ++j) out[j * rows + i] = in[i * cols + j];
  }
}

}  // namespace

LowRankTensor::LowRankTensor(int64_t rows, int64_t cols, int rank, RandomKey key)
    : key_(key),
      left_(rows, Clamp(rows, cols, rank)),
      right_(cols, left_.columns()),
      next_left_(rows, left_.columns()),
      next_right_(cols, left_.columns()),
      dots_(left_.columns()) {
  Seed(0);
}

bool LowRankTensor::full() const { return rank() == std::min(rows(), cols()); }

FactorSide LowRankTensor::SideOf(Step step) const {
  if (full()) return rows() <= cols() ? FactorSide::kRight : FactorSide::kLeft;
  return (step.value & 1) == 0 ? FactorSide::kLeft : FactorSide::kRight;
}

int64_t LowRankTensor::FactorElements(Step step) const {
  return rank() * (SideOf(step) == FactorSide::kLeft ? rows() : cols());
}

void LowRankTensor::Encode(Step step, absl::Span<const float> matrix, absl::Span<float> factor) {
  SLUICE_CHECK(static_cast<int64_t>(matrix.size()) == rows() * cols(), "not this tensor's size");
  SLUICE_CHECK(static_cast<int64_t>(factor.size()) == FactorElements(step), "not a factor's size");
  encoded_ = step;
  const FactorSide side = SideOf(step);
  if (full()) {
    if (side == FactorSide::kRight) {  // column k is row k of the matrix
      std::copy(matrix.begin(), matrix.end(), factor.begin());
    } else {
      Transpose(matrix.data(), rows(), cols(), factor.data());
    }
    return;
  }
  const RandomKey key = key_.With(step.value);
  if (side == FactorSide::kLeft) {
    next_right_ = right_;
    Orthonormalise(key.With(kRightBasis), &next_right_, &dots_);
    MultiplyByBasis(matrix.data(), rows(), cols(), next_right_.data(), next_right_.stride(), rank(),
                    factor.data(), rows());
  } else {
    next_left_ = left_;
    Orthonormalise(key.With(kLeftBasis), &next_left_, &dots_);
    MultiplyTransposed(matrix.data(), rows(), cols(), next_left_.data(), next_left_.stride(),
                       rank(), next_right_.data(), next_right_.stride());
    next_right_.CopyTo(factor);
  }
}

void LowRankTensor::Decode(Step step, absl::Span<const float> sum, absl::Span<const float> sent,
                           absl::Span<float> matrix, absl::Span<float> residual) {
  SLUICE_CHECK(encoded_ == step, "Decode belongs to an Encode of the same step");
  SLUICE_CHECK(static_cast<int64_t>(sum.size()) == FactorElements(step), "not a factor's size");
  SLUICE_CHECK(static_cast<int64_t>(matrix.size()) == rows() * cols(), "not this tensor's size");
  const bool feedback = !residual.empty();
  SLUICE_CHECK(!feedback || (residual.size() == matrix.size() && sent.size() == sum.size()),
               "a residual and what was sent have the sizes of the tensor and its factor");
  encoded_.reset();
  reduced_ = rank();
  if (full()) return DecodeFull(step, sum, sent, matrix, residual);

  if (SideOf(step) == FactorSide::kLeft) {
    left_.Assign(sum);
    std::swap(right_, next_right_);
    const FactorProduct result = {left_.data(), left_.stride(), right_.data(), right_.stride()};
    if (feedback) {
      const FactorProduct own = {sent.data(), static_cast<size_t>(rows()), right_.data(),
                                 right_.stride()};
      ReplaceWithLeftProduct(result, own, rank(), matrix.data(), rows(), cols(), residual.data());
    } else {
      WriteProduct(result, rank(), matrix.data(), rows(), cols());
    }
  } else {
    right_.Assign(sum);
    std::swap(left_, next_left_);
    const FactorProduct result = {left_.data(), left_.stride(), right_.data(), right_.stride()};
    if (feedback) {
      next_right_.Assign(sent);
      const FactorProduct own = {left_.data(), left_.stride(), next_right_.data(),
                                 next_right_.stride()};
      ReplaceWithRightProduct(result, own, rank(), matrix.data(), rows(), cols(), residual.data());
    } else {
      WriteProduct(result, rank(), matrix.data(), rows(), cols());
    }
  }
}

void LowRankTensor::Keep(Step step, absl::Span<const float> sum) {
  SLUICE_CHECK(encoded_ == step, "Keep belongs to an Encode of the same turn");
  SLUICE_CHECK(static_cast<int64_t>(sum.size()) == FactorElements(step), "not a factor's size");
  SLUICE_CHECK(!full(), "a tensor at full rank has nothing to gain from a second turn");
  encoded_.reset();
  reduced_ = rank();
  if (SideOf(step) == FactorSide::kLeft) {
    left_.Assign(sum);
    std::swap(right_, next_right_);
  } else {
    right_.Assign(sum);
    std::swap(left_, next_left_);
  }
}

// The factor is the matrix, or its transpose.
void LowRankTensor::DecodeFull(Step step, absl::Span<const float> sum, absl::Span<const float> sent,
                               absl::Span<float> matrix, absl::Span<float> residual) {
  if (SideOf(step) == FactorSide::kRight) {
    right_.Assign(sum);
    left_.SetIdentity();
    for (size_t i = 0; i < residual.size(); ++i) residual[i] = matrix[i] - sent[i];
    std::copy(sum.begin(), sum.end(), matrix.begin());
  } else {
    left_.Assign(sum);
    right_.SetIdentity();
    if (!residual.empty()) {
      Transpose(sent.data(), cols(), rows(), residual.data());
      for (size_t i = 0; i < residual.size(); ++i) residual[i] = matrix[i] - residual[i];
    }
    Transpose(sum.data(), cols(), rows(), matrix.data());
  }
}

void LowRankTensor::SetRank(int rank) {
  rank = Clamp(rows(), cols(), rank);
  const int old_rank = this->rank();
  if (rank == old_rank) return;
  if (rank < old_rank) {
    // One of the two factors has columns of unit length: the product is the norm of the other one's.
    std::vector<double> squares(old_rank, -1);  // a seed comes after all that was reduced
    for (int k = 0; k < reduced_; ++k) squares[k] = SquaredNorm(left_, k) * SquaredNorm(right_, k);
    std::vector<int> columns(old_rank);
    std::iota(columns.begin(), columns.end(), 0);
    std::stable_sort(columns.begin(), columns.end(),
                     [&](int a, int b) { return squares[a] > squares[b]; });
    columns.resize(rank);
    left_ = SelectColumns(left_, columns);
    right_ = SelectColumns(right_, columns);
    reduced_ = std::min(reduced_, rank);
  } else {
    left_.Resize(rank);
    right_.Resize(rank);
    Seed(old_rank);
  }
  AllocateNext();
}

void LowRankTensor::Seed(int first_column) {
  for (int k = first_column; k < rank(); ++k) {
    left_.FillColumn(k, key_.With(kLeftSeed).With(k));
    right_.FillColumn(k, key_.With(kRightSeed).With(k));
  }
}

void LowRankTensor::AllocateNext() {
  next_left_ = Factor(rows(), rank());
  next_right_ = Factor(cols(), rank());
  dots_.resize(rank());
  encoded_.reset();
}

LowRankState LowRankTensor::Save() const {
  LowRankState state;
  state.reduced = reduced_;
  state.left.resize(rows() * rank());
  state.right.resize(cols() * rank());
  left_.CopyTo(absl::MakeSpan(state.left));
  right_.CopyTo(absl::MakeSpan(state.right));
  return state;
}

absl::Status LowRankTensor::Restore(const LowRankState& state) {
  const int64_t left = state.left.size();
  const int64_t right = state.right.size();
  const int64_t rank = left / rows();
  if (rank < 1 || rank > std::min(rows(), cols()) || left != rank * rows() ||
      right != rank * cols() || state.reduced < 0 || state.reduced > rank) {
    return absl::InvalidArgumentError(absl::StrCat(
        "restore low-rank state: factors of ", left, " and ", right, " values, ", state.reduced,
        " columns reduced, do not belong to a tensor of ", rows(), " x ", cols()));
  }
  left_ = Factor(rows(), static_cast<int>(rank));
  right_ = Factor(cols(), static_cast<int>(rank));
  left_.Assign(state.left);
  right_.Assign(state.right);
  AllocateNext();
  reduced_ = state.reduced;
  return absl::OkStatus();
}

}  // namespace sluice
