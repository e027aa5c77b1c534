#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "base/ids.h"
#include "base/random.h"
#include "comm/low_rank/factor.h"

namespace sluice {

/// Which factor of a rows x cols matrix travels.
enum class FactorSide {
  kLeft,  ///< rows x rank
  kRight  ///< cols x rank
};

/// What a LowRankTensor carries from step to step, for checkpoints and newcomers. Equal state, steps
/// and reduced factors give equal bits ever after.
struct LowRankState {
  int reduced = 0;           ///< leading columns that a reduction has filled; the others are seeds
  std::vector<float> left;   ///< rows x rank, each column contiguous
  std::vector<float> right;  ///< cols x rank, each column contiguous
};

/// Low-rank compression of one tensor, seen as a row-major rows x cols matrix: the left and the right
/// factor travel by turns, one per reduction (docs/low_rank.md). Every `step` here is the number of a
/// turn; the reducer gives each training step two, of which the first ends with Keep.
///
///     kLeft:   Q = basis (cols x r)   P_i = M_i Q     travels   result = (sum of P_i) Q^T
///     kRight:  P = basis (rows x r)   Q_i = M_i^T P   travels   result = P (sum of Q_i)^T
///
/// The basis is the factor that was reduced last on the other side, with orthonormal columns; at first
/// it comes from the key. Any order of sides is right, alternation converges best. A factor is laid out
/// with each of its columns contiguous, so that values of one magnitude are neighbours.
///
/// All ranks hold the same basis and decode the same result, to the bit and on every instruction set,
/// when key, steps, ranks of SetRank and reduced factors agree. At full rank, rank() == min(rows,
/// cols), the basis is the identity and always on the shorter side: nothing is lost.
///
/// Memory: 2 (rows + cols) rank floats. Cost: Encode reads the matrix once, Decode reads and writes it
/// once and writes the residual; 2 rank and up to 4 rank operations per element.
/// Sources: Vogels, Karimireddy and Jaggi 2019, "PowerSGD"; Zhang, Zhang, Shi et al. 2023,
/// "Evaluation and optimization of gradient compression" (ACP-SGD).
/// \threadsafety one thread at a time
class LowRankTensor {
 public:
  /// \param rank    columns of a factor; used as min(rank, rows, cols)
  /// \param key     the same on all ranks: a function of the job's seed and the tensor's name
  /// \pre rows, cols, rank >= 1
  LowRankTensor(int64_t rows, int64_t cols, int rank, RandomKey key);

  int64_t rows() const { return left_.length(); }
  int64_t cols() const { return right_.length(); }
  /// In [1, min(rows, cols)].
  int rank() const { return left_.columns(); }

  /// Whether rank() == min(rows(), cols()): one turn is exact then, and a second one not allowed.
  bool full() const;

  /// Left in even turns, right in odd ones; at full rank always the longer side.
  FactorSide SideOf(Step step) const;
  /// Floats of the factor that travels in `step`: rank() * rows() or rank() * cols().
  int64_t FactorElements(Step step) const;

  /// Writes this rank's factor of `matrix`. What later steps depend on is unchanged, so that a step
  /// may be encoded again. Allocates nothing.
  /// \pre matrix.size() == rows() * cols(); factor.size() == FactorElements(step)
  void Encode(Step step, absl::Span<const float> matrix, absl::Span<float> factor);

  /// matrix = sum * basis^T (or basis * sum^T) and, when `residual` is not empty,
  /// residual = old matrix - the same product of `sent`, in one pass. Keeps `sum` and the basis for
  /// the next steps. Over all ranks, residuals + result == sum of the matrices, to rounding, if `sum`
  /// is the sum of all `sent`. A NaN or an infinity in `sum` makes its row (kLeft) or column of the
  /// result not finite, and the basis starts again from the key. Allocates nothing.
  /// \param sum       the reduced factor, the same bits on all ranks
  /// \param sent      what this rank's factor became on the wire; may be `sum`; ignored, and may be
  ///                  empty, without a residual
  /// \param matrix    what Encode saw
  /// \param residual  rows() * cols() values, not overlapping the others, or empty
  /// \pre the last call but for const ones was Encode(step, ...)
  void Decode(Step step, absl::Span<const float> sum, absl::Span<const float> sent,
              absl::Span<float> matrix, absl::Span<float> residual);

  /// Only keeps `sum` and the basis, as Decode does: the next turn's basis is then made of this very
  /// matrix's factor, which approximates it far better than that of an earlier one. `matrix` is to be
  /// encoded in that turn. Allocates nothing. \pre as Decode; not full()
  void Keep(Step step, absl::Span<const float> sum);

  /// From the next Encode on. A smaller rank keeps the columns of largest norm, a larger one appends
  /// columns from the key, the same one changes nothing. \pre rank >= 1
  void SetRank(int rank);

  LowRankState Save() const;
  /// Takes over state that was saved with any rank.
  /// \error kInvalidArgument when the sizes are not those of one rank of this shape; nothing changes
  absl::Status Restore(const LowRankState& state);

 private:
  void Seed(int first_column);
  void AllocateNext();
  void DecodeFull(Step step, absl::Span<const float> sum, absl::Span<const float> sent,
                  absl::Span<float> matrix, absl::Span<float> residual);

  RandomKey key_;
  int reduced_ = 0;
  // Of the last Decode on each side: the reduced factor, or the basis that it was multiplied with.
  Factor left_;
  Factor right_;
  // Of the current step: the basis on its side. On the other side, room for a factor.
  Factor next_left_;
  Factor next_right_;
  std::vector<double> dots_;
  std::optional<Step> encoded_;
};

}  // namespace sluice
