#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "comm/reducer/float_loops.h"
#include "comm/reducer/profiler_shards.h"
#include "comm/reducer/residual_samples.h"
#include "comm/reducer/window_snapshot.h"

namespace sluice {
namespace {

size_t MessageBytes(int64_t floats) {
  return kSnapshotHeaderBytes + static_cast<size_t>(floats) * sizeof(float);
}

int64_t FloatsOf(const std::vector<ElementRange>& ranges) {
  int64_t floats = 0;
  for (const ElementRange& range : ranges) floats += range.size();
  return floats;
}

void WarnOfDrop(int64_t window, int64_t profiler) {
  SLUICE_LOG(Warning, "window ", window, " is dropped: profiler ", profiler,
             " has not taken the one before yet");
}

}  // namespace

SnapshotSender::SnapshotSender(const BucketLayout& layout, Rank self, Rank first_profiler,
                               int64_t window_steps, double decay, int profilers)
    : layout_(layout),
      self_(self),
      window_steps_(window_steps),
      decay_(static_cast<float>(decay)),
      shares_(static_cast<size_t>(profilers)) {
  const std::vector<int> owners = ProfilerShards(layout, profilers);
  for (int i = 0; i < profilers; ++i) shares_[i].profiler = first_profiler + i;
  int64_t floats = 0;
  for (const BucketLayout::Bucket& bucket : layout.buckets()) {
    const BucketLayout::Chunk& mine = bucket.chunks[self.value];
    offsets_.push_back(floats);
    for (const std::vector<Piece>& segment : mine.segments) {
      for (const Piece& piece : segment) {
        const int64_t begin = floats + piece.bucket_offset - mine.range.begin;
        shares_[owners[piece.tensor]].ranges.push_back({begin, begin + piece.in_tensor.size()});
      }
    }
    floats += mine.range.size();
  }
  accumulator_.resize(floats);
  for (Share& share : shares_) share.floats = FloatsOf(share.ranges);
  int64_t samples = 0;
  for (size_t t = 0; t < owners.size(); ++t) {
    const int64_t count = ResidualSamples(layout.tensors()[t]);
    sample_offsets_.push_back(samples);
    shares_[owners[t]].ranges.push_back({floats + samples, floats + samples + count});
    samples += count;
  }
  sample_offsets_.push_back(samples);
  samples_.resize(samples);
  message_.resize(MessageBytes(floats + samples));
  leaving_.reserve(shares_.size());
  if (profilers == 1) return;
  for (Share& share : shares_) share.message.resize(MessageBytes(FloatsOf(share.ranges)));
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

absl::Span<float> SnapshotSender::samples(int tensor) {
  const auto begin = static_cast<size_t>(sample_offsets_[tensor]);
  return absl::MakeSpan(samples_).subspan(begin,
                                          static_cast<size_t>(sample_offsets_[tensor + 1]) - begin);
}

bool SnapshotSender::leaving() const {
  return std::any_of(shares_.begin(), shares_.end(),
                     [](const Share& share) { return share.in_flight.has_value(); });
}

absl::Status SnapshotSender::Retire(Share& share, const absl::Status& outcome) {
  share.in_flight.reset();
  if (outcome.ok()) return outcome;
  share.lost = true;
  return Annotate(outcome, absl::StrCat("window for profiler ", &share - shares_.data()));
}

absl::Status SnapshotSender::RetireFinished(Transport& transport) {
  absl::Status first;
  for (Share& share : shares_) {
    if (!share.in_flight) continue;
    const std::optional<absl::Status> outcome = transport.Test(*share.in_flight);
    if (outcome) first.Update(Retire(share, *outcome));
  }
  return first;
}

absl::Status SnapshotSender::AwaitLeave(Transport& transport) {
  leaving_.clear();
  for (const Share& share : shares_) {
    if (share.in_flight) leaving_.push_back(*share.in_flight);
  }
  (void)transport.WaitAny(leaving_, absl::InfiniteFuture());
  return RetireFinished(transport);
}

absl::Status SnapshotSender::EndStep(Step step, Transport& transport) {
  absl::Status retired = RetireFinished(transport);
  const bool ends = EndsWindow(step);
  if (std::exchange(spoiled_, false)) {
    window_ = -1;  // the next step's Add starts from zero
    if (ends) SLUICE_LOG(Warning, "a window is dropped: ", ToString(step), " is not finite");
    return retired;
  }
  weight_ = weight_ * decay_ + 1;
  if (!ends) return retired;

  const int64_t window = window_;
  window_ = -1;
  if (shares_.size() == 1 && leaving()) {  // with message_
    WarnOfDrop(window, 0);
    return retired;
  }
  Scale(static_cast<float>(1 / weight_), absl::MakeSpan(accumulator_));
  WriteSnapshotHeader({window, step, static_cast<int64_t>(accumulator_.size())},
                      absl::MakeSpan(message_));
  static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "floats are copied as they are");
  std::byte* out = message_.data() + kSnapshotHeaderBytes;
  for (const std::vector<float>* part : {&accumulator_, &samples_}) {
    if (part->empty()) continue;
    std::memcpy(out, part->data(), part->size() * sizeof(float));
    out += part->size() * sizeof(float);
  }
  message_window_ = window;
  retired.Update(SendMessages(transport));
  return retired;
}

// Each profiler its part of message_.
absl::Status SnapshotSender::SendMessages(Transport& transport) {
  for (Share& share : shares_) {
    if (share.lost) continue;
    if (share.in_flight) {
      WarnOfDrop(message_window_, &share - shares_.data());
      continue;
    }
    if (shares_.size() > 1) {
      WriteSnapshotHeader(
          {message_window_, Step((message_window_ + 1) * window_steps_ - 1), share.floats},
          absl::MakeSpan(share.message));
      size_t at = kSnapshotHeaderBytes;
      for (const ElementRange& range : share.ranges) {
        const size_t bytes = static_cast<size_t>(range.size()) * sizeof(float);
        std::memcpy(share.message.data() + at, message_.data() + MessageBytes(range.begin), bytes);
        at += bytes;
      }
    }
    share.in_flight =
        transport.Send(share.profiler, kSnapshotTag, shares_.size() > 1 ? share.message : message_);
  }
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
  const size_t without_samples = MessageBytes(static_cast<int64_t>(accumulator_.size()));
  if (header.floats != static_cast<int64_t>(accumulator_.size()) ||
      // Versions that took no samples wrote none.
      (state.sent_window.size() != message_.size() &&
       state.sent_window.size() != without_samples)) {
    return absl::DataLossError(absl::StrCat("reducer state: window's message of ",
                                            state.sent_window.size(), " bytes, expected ",
                                            message_.size()));
  }
  if (header.last_step.value + 1 != (header.window + 1) * window_steps_) return absl::OkStatus();
  std::fill(message_.begin(), message_.end(), std::byte{0});
  std::copy(state.sent_window.begin(), state.sent_window.end(), message_.begin());
  message_window_ = header.window;
  return absl::OkStatus();
}

absl::Status SnapshotSender::SendAgain(int64_t decided, Transport& transport) {
  return message_window_ > decided ? SendMessages(transport) : absl::OkStatus();
}

}  // namespace sluice
