#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/ids.h"
#include "comm/collective/all_reduce.h"
#include "comm/collective/link_model.h"
#include "comm/collective/scatter_reduce.h"
#include "comm/reducer/bucket_codec.h"
#include "comm/reducer/bucket_layout.h"
#include "comm/reducer/codec_plan.h"
#include "comm/reducer/reducer.h"
#include "comm/reducer/wait_board.h"
#include "comm/reducer/window_snapshot.h"
#include "comm/transport/transport.h"

namespace sluice {

/// The comm thread's half of the reducer: keeps the collectives of several buckets in flight, knows
/// no threads.
///
///     BeginStep, Start(0), Advance..., Start(1), Advance..., EndStep, BeginStep, ...    Mean at any time
///
/// While the messages of one bucket are on their way, the next one is encoded and the one before
/// decoded. Which goes first never changes a result, only its time.
/// \threadsafety comm thread only
class BucketReducer {
 public:
  /// Buckets in flight at once, at most: bounds the memory for encodings.
  static constexpr int kMostInFlight = 8;

  /// All four must outlive it; but the destructor may run after the transport's.
  /// \param board  is told what is waited for
  BucketReducer(const Reducer::Options& options, const BucketLayout& layout, Transport& transport,
                WaitBoard& board);

  /// \param plan         in force in this step; must stay until the next BeginStep
  /// \param newest_plan  announced to the other ranks
  /// \param begin        zero of the step's BucketTimes
  void BeginStep(Step step, const CodecPlan& plan, uint32_t newest_plan,
                 std::chrono::steady_clock::time_point begin);

  int in_flight() const { return in_flight_; }
  /// Whether there is room for `bucket`, the next in layout order.
  bool CanStart(int bucket) const { return slot_of(bucket).operation.done(); }

  /// `data`, the bucket's gradients of this rank, is to become the mean over ranks. In layout order.
  /// \param loss_not_finite  there are no gradients, and the others are to know
  /// \pre CanStart(bucket)
  void Start(int bucket, absl::Span<float> data, bool loss_not_finite);

  /// In place of Start, in a world of one: it is the mean already.
  void Inspect(int bucket, absl::Span<float> data, bool loss_not_finite);

  /// Does one piece of work or takes one message; sleeps when there is neither, until there is, a
  /// deadline passes, or Transport::Wake.
  /// \return a bucket that is reduced now; nullopt if none is
  /// \error of a collective, with step and bucket; nothing is in flight any more
  /// \pre in_flight() > 0
  absl::StatusOr<std::optional<int>> Advance();

  /// Ends what is in flight.
  void Cancel();

  /// After bucket 0 is reduced: the lowest of the newest versions that the ranks hold.
  uint32_t lowest_newest_plan() const { return codecs_.front().lowest_newest_plan(); }

  /// After the step's last bucket: whether its residuals stand, or are those of before it.
  /// \return plan_version, sent_bytes, encode and not_finite of the step
  ReductionStats Conclude();

  /// By bucket; `ready` and `exposed` are not filled in.
  absl::Span<BucketTimes> bucket_times() { return absl::MakeSpan(times_); }

  /// Hands the window over when it is complete. Profilers that cannot be reached are given up.
  void EndStep();

  /// Whether a window is on its way to a profiler: nothing moves it but this thread.
  bool window_leaving() const { return windows_ && windows_->leaving(); }
  /// Waits until it has left, or Transport::Wake. \pre window_leaving()
  void AwaitWindow();

  /// data[i] = mean over ranks; also while buckets are in flight, which then wait.
  /// \param step    that began last; Start may be behind it
  /// \param number  of this mean since that step began, from 0
  absl::Status Mean(Step step, int number, absl::Span<float> data);

  /// Copies `bytes` of `from` to the ranks of `to`: transfer.h.
  absl::Status Transfer(Rank from, absl::Span<const int> to, std::string& bytes);

  /// Between steps: Reducer::SaveState and LoadState.
  std::string SaveState() const;
  absl::Status LoadState(absl::string_view bytes, int64_t decided_window);

  /// Between steps: Reducer::ForgetResidual.
  void ForgetResidual(int tensor, absl::Span<const ElementRange> ranges) {
    codecs_[static_cast<size_t>(layout_.places()[tensor].bucket)].ForgetResidual(tensor, ranges);
  }

  std::vector<float> residual(int tensor) const {
    return codecs_[static_cast<size_t>(layout_.places()[tensor].bucket)].Residual(tensor);
  }

  std::optional<LinkEstimate> link(Rank peer) const { return links_.Estimate(peer); }

 private:
  struct Slot {
    int bucket = 0;
    ScatterReduce operation;
  };

  // The same buckets always share a slot, so that its buffers grow once.
  const Slot& slot_of(int bucket) const { return slots_[bucket % kMostInFlight]; }
  Slot& slot_of(int bucket) { return slots_[bucket % kMostInFlight]; }
  Slot& in_order(int position);

  void KeepProfilers(const absl::Status& sent);
  void PostWait();
  void StartExchange(Slot& slot, uint32_t exchange);
  absl::StatusOr<std::optional<int>> AfterProgress(Slot& slot, const absl::Status& outcome);
  absl::StatusOr<std::optional<int>> TakeOverdue();
  absl::Duration SinceBegin() const;

  const Reducer::Options options_;
  const BucketLayout& layout_;
  Transport& transport_;
  WaitBoard& board_;
  std::optional<SnapshotSender> windows_;
  LinkModel links_;
  std::deque<BucketCodec> codecs_;  // by bucket; a deque: they do not move
  std::array<Slot, kMostInFlight> slots_;
  std::vector<RequestId> heads_;  // of all slots, in order of service
  int next_bucket_ = 0;           // to start
  int in_flight_ = 0;

  Step step_;
  std::optional<uint32_t> plan_version_;
  uint32_t newest_plan_ = 0;
  int64_t sent_before_ = 0;
  std::chrono::steady_clock::time_point begin_;
  std::vector<BucketTimes> times_;
  AllReduceBuffers mean_buffers_;
};

}  // namespace sluice
