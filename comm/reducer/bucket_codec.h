#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/ids.h"
#include "base/random.h"
#include "comm/collective/scatter_reduce.h"
#include "comm/reducer/bucket_layout.h"
#include "comm/reducer/codec_plan.h"
#include "comm/reducer/float_loops.h"
#include "comm/reducer/frame_header.h"
#include "comm/reducer/window_snapshot.h"

namespace sluice {

/// Encodes and decodes one bucket at a time, in place, and keeps what encoding lost.
///
///     Start:        x = g / N + residual                    whole bucket
///     EncodeMine:   residual = x - decode(encode(x))        pieces of others' chunks
///     EncodeSum:    residual = sum - decode(encode(sum))    pieces of my chunk
///     TakeSum:      x = decode(...)                         pieces of others' chunks
///
/// Lossless pieces leave a residual of zero, so a tensor that a plan makes lossless sends what it
/// still owed. Residuals lie where the tensor lies, so they outlive plans. A bucket that never had
/// a lossy codec has no residual memory.
///
/// Randomness of a record: (seed, step, tensor's name, rank, first element of the piece).
/// \threadsafety comm thread only
class BucketCodec : public ChunkCodec {
 public:
  /// \param windows  gets my chunk's exact sums; may be null
  BucketCodec(const BucketLayout& layout, Rank self, bool error_feedback, uint64_t seed,
              SnapshotSender* windows);

  /// From the next Start on; computes lengths and makes room for residuals, the only allocations.
  /// `plan` must outlive its use.
  void UsePlan(const CodecPlan& plan);

  /// Turns to `bucket`, whose gradients of this rank are in `data`.
  /// \param newest_plan  announced to the others in the frames
  void Start(Step step, int bucket, uint32_t newest_plan, absl::Span<float> data);

  /// Lowest of the newest plan versions that the ranks announced for the current bucket; complete
  /// when the collective has succeeded.
  uint32_t lowest_newest_plan() const { return lowest_newest_plan_; }

  /// Zeros where nothing was lost.
  std::vector<float> Residual(int tensor) const;

  /// Time spent in this class since the last call.
  absl::Duration TakeBusyTime();

  size_t ChunkBytes(int chunk) const override;
  void EncodeMine(int chunk, absl::Span<std::byte> out) override;
  absl::Status AddReceived(Rank from, absl::Span<const std::byte> bytes) override;
  void EncodeSum(absl::Span<std::byte> out) override;
  absl::Status TakeSum(int chunk, absl::Span<const std::byte> bytes) override;

 private:
  void Encode(int chunk, absl::Span<std::byte> frame);
  absl::Status Decode(int chunk, Rank from, absl::Span<const std::byte> frame, DecodeMode mode);
  absl::Span<float> residual_of(const Piece& piece);
  absl::Span<float> values_of(const Piece& piece);

  const BucketLayout& layout_;
  const Rank self_;
  const bool error_feedback_;
  const RandomKey seed_;
  SnapshotSender* const windows_;

  const CodecPlan* plan_ = nullptr;
  std::vector<size_t> chunk_bytes_;       // by bucket, then chunk
  std::vector<AlignedFloats> residuals_;  // by bucket; empty until a lossy codec is used in it

  FrameHeader header_;
  RandomKey step_key_;
  int bucket_ = 0;
  absl::Span<float> data_;
  uint32_t lowest_newest_plan_ = 0;
  absl::Duration busy_;
};

}  // namespace sluice
