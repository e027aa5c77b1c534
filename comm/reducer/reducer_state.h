#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/ids.h"
#include "comm/reducer/bucket_layout.h"

namespace sluice {

/// What one rank's reducer carries from one step to the next. Borrows all of it: from the reducer
/// when it is written, from the bytes when it was read. Floats are fp32 and may lie unaligned.
/// The bytes: docs/checkpoints.md.
struct ReducerState {
  struct Tensor {
    absl::string_view name;
    int64_t elements = 0;
    absl::Span<const std::byte> residual;  ///< of every element; empty: nothing was ever lost
    /// LowRankState, the same on all ranks; both empty: never was of low rank.
    int32_t reduced = 0;
    absl::Span<const std::byte> left;
    absl::Span<const std::byte> right;
  };

  Step next_step;
  int world_size = 1;
  Rank rank;
  /// ChunkKey of the layout: parts of windows fit where it is equal.
  uint64_t chunk_key = 0;
  int64_t window = -1;  ///< that sums belongs to; -1: none was begun
  double window_weight = 0;
  absl::Span<const std::byte> window_sums;  ///< of this rank's chunks
  absl::Span<const std::byte> sent_window;  ///< the last part sent, as snapshot_message.h; or empty
  std::vector<Tensor> tensors;              ///< in the layout's order
};

std::string WriteReducerState(const ReducerState& state);

/// Any bytes are allowed. \error kDataLoss  what is wrong with them
absl::StatusOr<ReducerState> ReadReducerState(absl::string_view bytes);

/// A number for where the chunks of all ranks lie.
uint64_t ChunkKey(const BucketLayout& layout);

/// One rank's state in a new world, and what could not be taken along, for people.
struct MergedReducerState {
  std::string bytes;
  std::vector<std::string> notes;
};

/// The state of `rank` in a world of `world_size` from old ranks' states after the same step.
///
/// Residuals of the old ranks r with r % world_size == rank add up in ascending order, so that over
/// all new ranks their sum stays what it was; those of other old ranks are left out. The warm state
/// of low-rank tensors is the same on all ranks and is taken from the first of `old`. Parts of
/// windows belong to the old world's chunks and are left out, with a note, unless `old` is the one
/// state of this very rank and world.
/// \param old  any subset of the old world's, at least one; of no other rank's residuals than above
/// \error kDataLoss            as ReadReducerState, with the place in `old`
/// \error kFailedPrecondition  of different steps, worlds or tensors, or one rank twice: names both
absl::StatusOr<MergedReducerState> MergeReducerStates(absl::Span<const absl::string_view> old,
                                                      Rank rank, int world_size);

}  // namespace sluice
