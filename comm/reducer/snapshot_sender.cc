#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
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
  message_window_ = window;
  return SendMessage(transport);
}

absl::Status SnapshotSender::SendMessage(Transport& transport) {
  in_flight_ = transport.Send(profiler_, kSnapshotTag, message_);
  return RetireFinished(transport);
}

void SnapshotSender::Save(ReducerState& state) const {
  state.window = window_;
  if (window_ >= 0) {
    state.window_weight = weight_;
    state.window_sums = {reinterpret_cast<const std::byte*>(accumulator_.data()),
                         accumulator_.size() * sizeof(float)};
  }
  if (message_window_ >= 0) state.sent_window = message_;
}

absl::Status SnapshotSender::Load(const ReducerState& state) {
  const bool begun = state.window >= 0;
  if (!begun && state.sent_window.empty()) return absl::OkStatus();
  if (state.chunk_key != ChunkKey(layout_) ||
      (begun && state.window != state.next_step.value / window_steps_)) {
    SLUICE_LOG(Warning, "the window that ", ToString(state.next_step),
               " belongs to is measured from there on: what was saved of it belongs to other "
               "buckets or to windows of another length");
    return absl::OkStatus();
  }
  if (begun) {
    if (state.window_sums.size() != accumulator_.size() * sizeof(float)) {
      return absl::DataLossError(absl::StrCat("reducer state: window of ", state.window_sums.size(),
                                              " bytes, expected ",
                                              accumulator_.size() * sizeof(float)));
    }
    window_ = state.window;
    weight_ = state.window_weight;
    if (!accumulator_.empty()) {
      std::memcpy(accumulator_.data(), state.window_sums.data(), state.window_sums.size());
    }
  }
  if (state.sent_window.empty()) return absl::OkStatus();
  SLUICE_ASSIGN_OR_RETURN(const SnapshotHeader header, ReadSnapshotHeader(state.sent_window));
  if (state.sent_window.size() != message_.size()) {
    return absl::DataLossError(absl::StrCat("reducer state: window's message of ",
                                            state.sent_window.size(), " bytes, expected ",
                                            message_.size()));
  }
  if (header.last_step.value + 1 != (header.window + 1) * window_steps_) return absl::OkStatus();
  std::copy(state.sent_window.begin(), state.sent_window.end(), message_.begin());
  message_window_ = header.window;
  return absl::OkStatus();
}

absl::Status SnapshotSender::SendAgain(int64_t decided, Transport& transport) {
  return message_window_ > decided ? SendMessage(transport) : absl::OkStatus();
}

}  // namespace sluice
