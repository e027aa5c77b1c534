#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "comm/reducer/float_loops.h"
#include "comm/reducer/window_snapshot.h"

namespace sluice {

SnapshotSender::SnapshotSender(const BucketLayout& layout, Rank self, Rank profiler,
                               int64_t window_steps, double decay)
    : layout_(layout),
      self_(self),
      profiler_(profiler),
      window_steps_(window_steps),
      decay_(static_cast<float>(decay)) {
  int64_t floats = 0;
  for (const BucketLayout::Bucket& bucket : layout.buckets()) {
    offsets_.push_back(floats);
    floats += bucket.chunks[self.value].range.size();
  }
  accumulator_.resize(floats);
  message_.resize(kSnapshotHeaderBytes + floats * sizeof(float));
}

absl::Span<float> SnapshotSender::accumulated(int bucket, int64_t offset, size_t size) {
  const ElementRange mine = layout_.buckets()[bucket].chunks[self_.value].range;
  SLUICE_CHECK(offset >= mine.begin && offset + static_cast<int64_t>(size) <= mine.end,
               "a window holds this rank's chunks");
  return absl::MakeSpan(accumulator_)
      .subspan(static_cast<size_t>(offsets_[bucket] + offset - mine.begin), size);
}

void SnapshotSender::Add(Step step, int bucket, int64_t offset, absl::Span<const float> sums) {
  if (const int64_t window = step.value / window_steps_; window != window_) {
    window_ = window;
    weight_ = 0;
    std::fill(accumulator_.begin(), accumulator_.end(), 0.0f);
  }
  ScaleAndAdd(decay_, sums, accumulated(bucket, offset, sums.size()));
}

void SnapshotSender::AddMore(int bucket, int64_t offset, float scale,
                             absl::Span<const float> more) {
  sluice::Add(scale, more, accumulated(bucket, offset, more.size()));
}

absl::Status SnapshotSender::RetireFinished(Transport& transport) {
  if (!in_flight_) return absl::OkStatus();
  const std::optional<absl::Status> outcome = transport.Test(*in_flight_);
  if (!outcome) return absl::OkStatus();
  in_flight_.reset();
  return *outcome;
}

absl::Status SnapshotSender::AwaitLeave(Transport& transport) {
  (void)transport.WaitAny({*in_flight_}, absl::InfiniteFuture());
  return RetireFinished(transport);
}

absl::Status SnapshotSender::EndStep(Step step, Transport& transport) {
  SLUICE_RETURN_IF_ERROR(RetireFinished(transport));
  const bool ends = (step.value + 1) % window_steps_ == 0;
  if (std::exchange(spoiled_, false)) {
    window_ = -1;  // the next step's Add starts from zero
    if (ends) SLUICE_LOG(Warning, "a window is dropped: ", ToString(step), " is not finite");
    return absl::OkStatus();
  }
  weight_ = weight_ * decay_ + 1;
  if (!ends) return absl::OkStatus();

  const int64_t window = window_;
  window_ = -1;
  if (in_flight_) {
    SLUICE_LOG(Warning, "window ", window,
               " is dropped: the profiler has not taken the one before yet");
    return absl::OkStatus();
  }
  Scale(static_cast<float>(1 / weight_), absl::MakeSpan(accumulator_));
  WriteSnapshotHeader({window, step, static_cast<int64_t>(accumulator_.size())},
                      absl::MakeSpan(message_));
  static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "floats are copied as they are");
  if (!accumulator_.empty()) {
    std::memcpy(message_.data() + kSnapshotHeaderBytes, accumulator_.data(),
                accumulator_.size() * sizeof(float));
  }
  in_flight_ = transport.Send(profiler_, kSnapshotTag, message_);
  return RetireFinished(transport);
}

}  // namespace sluice
