#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "comm/reducer/bucket_layout.h"
#include "comm/transport/transport.h"

namespace sluice {

/// What a profiler measures: per tensor the decayed sum of a window's gradients as the encoder sees
/// them.
///
/// In every step the owner of a chunk holds the exact sum x = mean gradient + residuals just before
/// it re-encodes it. It accumulates a = decay * a + x over the window. So the work and the memory
/// are 1/N of the model per rank, and no step waits for it. At the window's end every rank sends
/// its part to the profiler, without waiting: one message per window and rank, tag kSnapshotTag:
///
///     offset  bytes  field
///     0       4      magic "SLWS"
///     4       4      format version, 1
///     8       8      window number, little-endian
///     16      8      last step of the window
///     24      8      floats that follow
///     32      4 n    fp32: for each bucket, the accumulator of the sender's chunk
///
/// If the previous message has not left yet, the window's part is dropped (the accumulator is
/// reset) and the profiler skips that window.
struct WindowSnapshot {
  int64_t window = 0;
  Step last_step;
  std::vector<std::vector<float>>
      tensors;  ///< by tensor of the layout, divided by the sum of weights
};

inline constexpr MessageTag kSnapshotTag = (MessageTag{1} << kMessageTagBits) - 1;

/// Accumulates and sends; owned by the reducer. \threadsafety comm thread only
class SnapshotSender {
 public:
  /// \param profiler  peer that receives; \param window_steps > 0
  SnapshotSender(const BucketLayout& layout, Rank self, Rank profiler, int64_t window_steps,
                 double decay);

  /// Adds the exact sum of my chunk of `bucket` in `step`.
  void Add(Step step, int bucket, absl::Span<const float> chunk);

  /// After the last bucket of `step`: at a window's end starts the send. Also retires a finished
  /// one. \error of a send that failed
  absl::Status EndStep(Step step, Transport& transport);

 private:
  const BucketLayout& layout_;
  const Rank self_;
  const Rank profiler_;
  const int64_t window_steps_;
  const float decay_;
  double weight_ = 0;
  std::vector<int64_t> offsets_;  // of each bucket's chunk, in floats
  std::vector<float> accumulator_;
  std::vector<std::byte> message_;
  std::optional<RequestId> in_flight_;
};

/// Puts the parts of all ranks together; used by a profiler on its comm thread.
class SnapshotReceiver {
 public:
  /// Parts come from ranks 0 to layout.world_size() - 1.
  SnapshotReceiver(const BucketLayout& layout, Transport& transport);

  /// Waits for the next window of which every rank has sent its part.
  /// \error kDataLoss  a malformed part: names the rank; else as Transport::Wait
  absl::StatusOr<WindowSnapshot> Receive(absl::Time deadline);

 private:
  const BucketLayout& layout_;
  Transport& transport_;
};

}  // namespace sluice
