#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/ids.h"
#include "base/random.h"
#include "comm/collective/link_model.h"
#include "comm/collective/scatter_reduce.h"
#include "comm/low_rank/low_rank_tensor.h"
#include "comm/reducer/bucket_layout.h"
#include "comm/reducer/codec_plan.h"
#include "comm/reducer/float_loops.h"
#include "comm/reducer/frame_header.h"
#include "comm/reducer/not_finite.h"
#include "comm/reducer/reducer_state.h"
#include "comm/reducer/window_snapshot.h"
#include "comm/reducer/wire_plan.h"

namespace sluice {

/// What the buckets of one rank share.
struct BucketCodecOptions {
  Rank self;
  bool error_feedback = true;
  uint64_t seed = 0;
  SnapshotSender* windows = nullptr;  ///< gets my chunks' exact sums; may be null
  LinkModel* links = nullptr;         ///< learns from every message; may be null
  /// Keep what Conclude(false) goes back to: a second residual, and copies of low-rank bases.
  bool restorable = false;
};

/// Encodes and decodes one bucket, in place, and keeps what encoding lost.
///
///     Start:        x = g / N + residual                    whole bucket
///                   f = factor of x                         low-rank tensors, which f stands for
///     EncodeMine:   residual = x - decode(encode(x))        pieces of others' chunks
///     EncodeSum:    residual = sum - decode(encode(sum))    pieces of my chunk
///     TakeSum:      x = decode(...)                         pieces of others' chunks
///     NextExchange: basis = columns of f_sum; f = factor of x on the other side
///                   EncodeMine ... TakeSum of f
///     Finish:       residual = x - f_sent * basis           low-rank tensors
///                   x = f_sum * basis
///     Conclude:     residuals and bases stand, or are those of before Start
///
/// Lossless pieces leave a residual of zero, so a tensor that a plan makes lossless sends what it
/// still owed. Residuals lie where the tensor lies, so they outlive plans; so does the warm state
/// of low-rank tensors. A bucket that never had a lossy codec has no residual memory.
///
/// Randomness of a record: (seed, step, tensor's name, rank, first element of the piece).
/// \threadsafety comm thread only
class BucketCodec : public ChunkCodec {
 public:
  /// `layout` must outlive it.
  BucketCodec(const BucketLayout& layout, int bucket, const BucketCodecOptions& options);

  /// From the next Start on; computes lengths and makes room, the only allocations.
  void UsePlan(const CodecPlan& plan);

  /// `data` are the bucket's gradients of this rank.
  /// \param newest_plan      announced to the others in the frames
  /// \param loss_not_finite  this rank has no gradients in this step, and says so to the others
  void Start(Step step, uint32_t newest_plan, absl::Span<float> data, bool loss_not_finite = false);

  /// In place of Start, in a world of one: looks whether `data` is finite.
  void Inspect(absl::Span<float> data, bool loss_not_finite);

  /// After the collective: whether there must be a second one; then it is what Segments etc. say.
  bool NextExchange();

  /// After the last collective: `data` holds the mean.
  void Finish();

  /// After the step's last bucket. \param keep  false: with `restorable`, as if Start had not been
  void Conclude(bool keep);

  /// What was not finite in this bucket, on any rank or in the mean; complete after Finish.
  const std::optional<NotFinite>& not_finite() const { return not_finite_; }

  /// Lowest of the newest plan versions that the ranks announced; complete when the collective has
  /// succeeded.
  uint32_t lowest_newest_plan() const { return lowest_newest_plan_; }

  /// Of tensor `tensor` of the layout; zeros where nothing was lost.
  std::vector<float> Residual(int tensor) const;
  /// The same at the elements that residual_samples.h names for the window. \pre out has room for them
  void SampleResidual(int tensor, int64_t window, absl::Span<float> out) const;

  /// Between steps: the residual of these elements of `tensor` becomes zero.
  void ForgetResidual(int tensor, absl::Span<const ElementRange> ranges);

  /// Low-rank warm state that has been saved, by place in the bucket; it must outlive the
  /// ReducerState that borrows it.
  using SavedFactors = std::vector<LowRankState>;
  /// Between steps: fills in this bucket's tensors of `state`, which borrow from this and `factors`.
  void Save(ReducerState& state, SavedFactors& factors) const;
  /// Before the first plan. \error kDataLoss  factors that are not this tensor's: names it
  absl::Status Load(const ReducerState& state);

  /// Time spent since Start: on error feedback and encoding, and on decoding.
  absl::Duration encode_time() const { return encode_time_; }
  absl::Duration decode_time() const { return decode_time_; }

  int Segments(int chunk) const override;
  size_t SegmentBytes(int chunk, int segment) const override;
  void EncodeMine(int chunk, int segment, absl::Span<std::byte> out) override;
  void Arrived(Rank from, absl::Span<const std::byte> bytes) override;
  absl::Status AddReceived(Rank from, int segment, absl::Span<const std::byte> bytes) override;
  void EncodeSum(int segment, absl::Span<std::byte> out) override;
  absl::Status TakeSum(int chunk, int segment, absl::Span<const std::byte> bytes) override;

 private:
  const WireBucket::Segment& segment(int chunk, int segment) const {
    return wire_->chunks[static_cast<size_t>(chunk)][static_cast<size_t>(segment)];
  }
  void Encode(int chunk, int segment, absl::Span<std::byte> frame);
  void EncodePiece(const WirePiece& piece, bool mine, absl::Span<std::byte> record);
  absl::Status Decode(int chunk, int segment, Rank from, absl::Span<const std::byte> frame,
                      DecodeMode mode);
  absl::Span<float> values_of(const WirePiece& piece);
  absl::Span<float> part_of_residual(int64_t offset, int64_t size);
  absl::Span<float> gradient_of(int place_in_bucket);
  std::optional<int> FirstNotFinite();
  absl::Status NoteNotFinite(uint32_t mark, Rank from);
  Step turn() const;
  absl::Span<float> factor_of(AlignedFloats& factors, size_t place_in_bucket);
  void EncodeFactors();
  void DecodeFactor(size_t place_in_bucket);
  void AddToWindow(int segment);
  void FinishLowRank();

  const BucketLayout& layout_;
  const int bucket_;
  const BucketLayout::Bucket& shape_;
  const BucketCodecOptions options_;

  uint32_t plan_version_ = 0;
  std::array<WireBucket, 2> wires_;                       // by exchange
  AlignedFloats residual_;                                // empty until a lossy codec is used
  AlignedFloats next_residual_;                           // of this step, if restorable
  std::vector<std::unique_ptr<LowRankTensor>> low_rank_;  // by place in the bucket; null: never was
  std::vector<std::unique_ptr<LowRankTensor>> saved_low_rank_;  // before Start, if restorable
  AlignedFloats factors_;                                       // this rank's, then the sum
  AlignedFloats sent_factors_;  // what of this rank's the sum contains

  const WireBucket* wire_ = nullptr;  // of the current step
  FrameHeader header_;
  RandomKey step_key_;
  absl::Span<float> data_;
  uint32_t lowest_newest_plan_ = 0;
  std::optional<NotFinite> not_finite_;
  absl::Duration encode_time_;
  absl::Duration decode_time_;
};

}  // namespace sluice
