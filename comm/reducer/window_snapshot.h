#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "comm/reducer/bucket_layout.h"
#include "comm/reducer/reducer_state.h"
#include "comm/reducer/snapshot_message.h"
#include "comm/transport/transport.h"

namespace sluice {

/// What a profiler measures: per tensor the decayed mean of a window's gradients as the encoder
/// sees them.
///
/// In every step the owner of a chunk holds the exact sum x = mean gradient + residuals just before
/// it re-encodes it. It accumulates a = decay * a + x over the window. So the work and the memory
/// are 1/N of the model per rank, and no step waits for it. At the window's end every rank sends
/// its part, a / (sum of weights), to the profilers, without waiting: one message per window, rank
/// and profiler, tag kSnapshotTag (snapshot_message.h), with the tensors that are the profiler's
/// (profiler_shards.h).
///
/// If the previous message to a profiler has not left yet, the window's part for it is dropped and
/// it skips that window.
struct WindowSnapshot {
  int64_t window = 0;
  Step last_step;
  /// By tensor of the layout: sum over steps of weight * x, divided by the sum of weights; empty
  /// where another profiler measures it.
  std::vector<std::vector<float>> tensors;
  /// By tensor: squared norm of what the mean of `last_step` lacks, estimated (residual_samples.h); 0
  /// where nothing was lost, is kept, or is measured here.
  std::vector<double> lost_squared;
};

inline constexpr MessageTag kSnapshotTag = (MessageTag{1} << kMessageTagBits) - 1;

/// Accumulates and sends; owned by the reducer. Its destructor must run after the transport's, or
/// after the request in flight is over. \threadsafety comm thread only
class SnapshotSender {
 public:
  /// \param first_profiler  peer that receives; with the `profilers` - 1 that follow it
  /// \param window_steps    above 0
  /// \param decay           in (0, 1]
  /// \param profilers       at least 1
  SnapshotSender(const BucketLayout& layout, Rank self, Rank first_profiler, int64_t window_steps,
                 double decay, int profilers = 1);

  /// Adds the exact sums of a part of my chunk of `bucket` in `step`; each element once per step.
  /// The first step of a window, or the first one seen of it, starts from zero.
  /// \param offset  of the first in the bucket's flat buffer
  void Add(Step step, int bucket, int64_t offset, absl::Span<const float> sums);

  /// Adds scale * `more` to what Add was given for the same elements in this step.
  void AddMore(int bucket, int64_t offset, float scale, absl::Span<const float> more);

  /// What was added in this step is not finite: the window begins anew with the next step, and is dropped
  /// if this was its last one. Before EndStep.
  void Spoil() { spoiled_ = true; }

  bool EndsWindow(Step step) const { return (step.value + 1) % window_steps_ == 0; }
  /// Where the samples of my residual of `tensor` after the window's last step belong. Before EndStep.
  absl::Span<float> samples(int tensor);

  /// After the last bucket of `step`: at a window's end starts the sends. Also retires finished
  /// ones.
  /// \error of the first send that failed; its profiler gets no more, the others do
  absl::Status EndStep(Step step, Transport& transport);

  /// Whether a message is on its way. Somebody must then use the transport, or it may stay there.
  bool leaving() const;
  /// Waits until one has left, or Transport::Wake. \pre leaving() \error as EndStep
  absl::Status AwaitLeave(Transport& transport);

  /// Between steps: what the next steps' windows depend on, borrowed from this.
  void Save(ReducerState& state) const;
  /// Takes over the window of state.next_step and the last part sent. Drops, with a warning, what
  /// was measured over other steps or for other chunks. Before the first step.
  /// \error kDataLoss  parts of another size
  absl::Status Load(const ReducerState& state);
  /// Sends the loaded part again if its window is above `decided`. \error as EndStep
  absl::Status SendAgain(int64_t decided, Transport& transport);

 private:
  // What goes to one profiler.
  struct Share {
    Rank profiler;
    std::vector<ElementRange> ranges;  // of the floats in message_, samples among them
    int64_t floats = 0;                // in front of the samples
    std::vector<std::byte> message;    // empty: the whole part, message_
    std::optional<RequestId> in_flight;
    bool lost = false;
  };

  absl::Status SendMessages(Transport& transport);
  absl::Status Retire(Share& share, const absl::Status& outcome);
  absl::Span<float> accumulated(int bucket, int64_t offset, size_t size);
  absl::Status RetireFinished(Transport& transport);

  const BucketLayout& layout_;
  const Rank self_;
  const int64_t window_steps_;
  const float decay_;
  int64_t window_ = -1;                  // that accumulator_ belongs to; -1: none
  double weight_ = 0;                    // of the steps before the current one
  bool spoiled_ = false;                 // by the current step
  std::vector<int64_t> offsets_;         // of each bucket's chunk, in floats
  std::vector<float> accumulator_;       // my chunk of every bucket
  std::vector<int64_t> sample_offsets_;  // of each tensor's in samples_
  std::vector<float> samples_;           // tensor after tensor
  std::vector<std::byte> message_;       // the last complete part
  int64_t message_window_ = -1;          // of message_; -1: there was none yet
  std::vector<Share> shares_;            // by profiler
  std::vector<RequestId> leaving_;       // of AwaitLeave
};

/// Puts the parts of all ranks together; used by a profiler on its comm thread. Which of the profilers it is, and of how
/// many, the transport knows. A part that arrived stays when Receive ends early, so that a later
/// call goes on from there.
class SnapshotReceiver {
 public:
  /// Parts come from ranks 0 to layout.world_size() - 1. Both must outlive it.
  SnapshotReceiver(const BucketLayout& layout, Transport& transport);

  /// Waits for the next window of which every rank has sent its part.
  /// \error kDataLoss  a malformed part, or parts that contradict each other: names the rank; the
  ///                   part is thrown away; else as Transport::Wait
  absl::StatusOr<WindowSnapshot> Receive(absl::Time deadline);

 private:
  struct Part {
    std::vector<std::byte> message;        // room for exactly one part
    int64_t floats = 0;                    // in front of its samples
    std::optional<RequestId> request;      // while it is on its way; never between calls
    std::optional<SnapshotHeader> header;  // once it is here
    int64_t last_window = -1;              // of the rank's latest part
  };

  absl::Status ReceiveMissing(absl::Time deadline);
  absl::Status Accept(Part& part);
  absl::StatusOr<WindowSnapshot> Assemble();
  // In the order of a part's floats.
  template <typename Function>
  void ForEachPiece(size_t rank, Function function) const;

  const BucketLayout& layout_;
  Transport& transport_;
  std::vector<bool> mine_;   // by tensor
  std::vector<Part> parts_;  // by rank
};

}  // namespace sluice
