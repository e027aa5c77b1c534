#include "comm/reducer/bucket_reducer.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/check.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "comm/collective/transfer.h"
#include "comm/reducer/float_loops.h"
#include "comm/reducer/reducer_state.h"

namespace sluice {
namespace {

using Clock = std::chrono::steady_clock;

// Names of operations (docs/wire_formats.md). Ranks are at most one step apart, so 15 bits of the
// step are plenty. The last 256 slots are kept for means; the very last one is never used, since
// with it the tag would be kSnapshotTag.
constexpr uint32_t kFirstMeanSlot = BucketLayout::kMaxBuckets;
constexpr uint32_t kMeanSlots = 128;
constexpr uint32_t kTransferSlot = kFirstMeanSlot + kMeanSlots;

uint32_t OperationName(Step step, uint32_t exchange, uint32_t slot) {
  return (static_cast<uint32_t>(step.value) & 0x7fff) << 17 | exchange << 16 | slot;
}

}  // namespace

BucketReducer::BucketReducer(const Reducer::Options& options, const BucketLayout& layout,
                             Transport& transport, WaitBoard& board)
    : options_(options),
      layout_(layout),
      transport_(transport),
      board_(board),
      windows_(options.window_steps > 0 && options.world_size > 1
                   ? std::make_optional<SnapshotSender>(
                         layout, transport.self(), Rank(options.world_size), options.window_steps,
                         options.window_decay, transport.peers() - options.world_size)
                   : std::nullopt),
      links_(options.world_size),
      step_(options.first_step - 1),
      times_(layout.buckets().size()) {
  const BucketCodecOptions codec_options = {transport.self(), options.error_feedback,
                                            options.seed,     windows_ ? &*windows_ : nullptr,
                                            &links_,          options.skip_not_finite};
  for (size_t b = 0; b < layout.buckets().size(); ++b) {
    codecs_.emplace_back(layout, static_cast<int>(b), codec_options);
  }
}

absl::Duration BucketReducer::SinceBegin() const { return absl::FromChrono(Clock::now() - begin_); }

void BucketReducer::BeginStep(Step step, const CodecPlan& plan, uint32_t newest_plan,
                              Clock::time_point begin) {
  SLUICE_CHECK(in_flight_ == 0, "a step begins when the one before is over");
  step_ = step;
  newest_plan_ = newest_plan;
  begin_ = begin;
  next_bucket_ = 0;
  // In a world of one nothing is ever encoded: no residuals.
  if (plan_version_ != plan.version && options_.world_size > 1) {
    for (BucketCodec& codec : codecs_) codec.UsePlan(plan);
  }
  plan_version_ = plan.version;
  sent_before_ = transport_.counters().sent_bytes;
  std::fill(times_.begin(), times_.end(), BucketTimes());
}

void BucketReducer::Start(int bucket, absl::Span<float> data, bool loss_not_finite) {
  SLUICE_CHECK(bucket == next_bucket_ && CanStart(bucket), "buckets start in layout order");
  next_bucket_ = bucket + 1;
  ++in_flight_;
  times_[static_cast<size_t>(bucket)].started = SinceBegin();
  BucketCodec& codec = codecs_[static_cast<size_t>(bucket)];
  codec.Start(step_, newest_plan_, data, loss_not_finite);
  Slot& slot = slot_of(bucket);
  slot.bucket = bucket;
  StartExchange(slot, 0);
}

void BucketReducer::Inspect(int bucket, absl::Span<float> data, bool loss_not_finite) {
  codecs_[static_cast<size_t>(bucket)].Inspect(data, loss_not_finite);
}

void BucketReducer::StartExchange(Slot& slot, uint32_t exchange) {
  slot.operation.Start({transport_, options_.world_size,
                        OperationName(step_, exchange, static_cast<uint32_t>(slot.bucket)),
                        absl::Now() + options_.timeout},
                       codecs_[static_cast<size_t>(slot.bucket)]);
}

// By age, the oldest first; or the youngest, which holds what the next forward needs first.
BucketReducer::Slot& BucketReducer::in_order(int position) {
  const int age = options_.forward_first ? kMostInFlight - 1 - position : position;
  return slots_[static_cast<size_t>((next_bucket_ + age) % kMostInFlight)];
}

absl::StatusOr<std::optional<int>> BucketReducer::Advance() {
  heads_.clear();
  Slot* with_work = nullptr;
  absl::Time deadline = absl::InfiniteFuture();
  for (int i = 0; i < kMostInFlight; ++i) {
    Slot& slot = in_order(i);
    if (slot.operation.done()) continue;
    if (with_work == nullptr && slot.operation.HasWork()) with_work = &slot;
    deadline = std::min(deadline, slot.operation.deadline());
    const absl::Span<const RequestId> heads = slot.operation.heads();
    heads_.insert(heads_.end(), heads.begin(), heads.end());
  }
  // What has arrived goes first: others wait for the sums that it completes.
  const absl::Time until = with_work != nullptr ? absl::InfinitePast() : deadline;
  if (with_work == nullptr) PostWait();
  const std::optional<size_t> over = transport_.WaitAny(heads_, until);
  if (over) {
    size_t head = *over;
    for (int i = 0;; ++i) {
      Slot& slot = in_order(i);
      if (slot.operation.done()) continue;
      if (head < slot.operation.heads().size()) {
        return AfterProgress(slot, slot.operation.Take(head));
      }
      head -= slot.operation.heads().size();
    }
  }
  if (with_work != nullptr) {
    with_work->operation.Work();
    return std::nullopt;
  }
  if (absl::Now() >= deadline) return TakeOverdue();
  return std::nullopt;
}

void BucketReducer::PostWait() {
  for (int i = 0; i < kMostInFlight; ++i) {
    const Slot& slot = slots_[static_cast<size_t>((next_bucket_ + i) % kMostInFlight)];
    if (slot.operation.done()) continue;
    board_.Post(slot.bucket, options_.world_size,
                [&](int rank) { return slot.operation.Awaits(rank); });
    return;
  }
}

absl::StatusOr<std::optional<int>> BucketReducer::AfterProgress(Slot& slot,
                                                                const absl::Status& outcome) {
  if (!outcome.ok()) {
    Cancel();
    return Annotate(outcome, absl::StrCat(ToString(step_), " bucket ", slot.bucket));
  }
  if (!slot.operation.done()) return std::nullopt;
  BucketCodec& codec = codecs_[static_cast<size_t>(slot.bucket)];
  if (codec.NextExchange()) {
    StartExchange(slot, 1);
    return std::nullopt;
  }
  BucketTimes& times = times_[static_cast<size_t>(slot.bucket)];
  times.received = SinceBegin();
  codec.Finish();
  times.reduced = SinceBegin();
  times.encode = codec.encode_time();
  times.decode = codec.decode_time();
  if (--in_flight_ == 0) board_.Clear();
  return slot.bucket;
}

// Of the oldest bucket: the transport says which message of which peer did not come. One that came
// in the last moment is no error, and may be the bucket's last.
absl::StatusOr<std::optional<int>> BucketReducer::TakeOverdue() {
  for (int i = 0; i < kMostInFlight; ++i) {
    Slot& slot = slots_[static_cast<size_t>((next_bucket_ + i) % kMostInFlight)];
    if (!slot.operation.done()) return AfterProgress(slot, slot.operation.TakeOverdue());
  }
  return std::nullopt;
}

void BucketReducer::Cancel() {
  for (Slot& slot : slots_) slot.operation.Cancel();
  in_flight_ = 0;
  board_.Clear();
}

ReductionStats BucketReducer::Conclude() {
  ReductionStats stats;
  stats.plan_version = *plan_version_;
  stats.sent_bytes = transport_.counters().sent_bytes - sent_before_;
  for (const BucketTimes& bucket : times_) stats.encode += bucket.encode + bucket.decode;
  bool overflowed = false;
  for (const BucketCodec& codec : codecs_) {
    const std::optional<NotFinite>& found = codec.not_finite();
    if (!found) continue;
    overflowed = overflowed || found->ranks.empty();
    // A rank's own is the cause of what becomes of the mean.
    if (!stats.not_finite) stats.not_finite = found;
    for (Rank rank : found->ranks) AddNotFinite(found->tensor, rank, stats.not_finite);
  }
  stats.not_finite_here = stats.not_finite && stats.not_finite->Includes(transport_.self());
  for (BucketCodec& codec : codecs_) codec.Conclude(!stats.not_finite);
  if (windows_ && overflowed) windows_->Spoil();
  return stats;
}

void BucketReducer::EndStep() {
  if (!windows_) return;
  if (windows_->EndsWindow(step_)) {
    const int64_t window = step_.value / options_.window_steps;
    for (size_t t = 0; t < layout_.tensors().size(); ++t) {
      const int tensor = static_cast<int>(t);
      codecs_[static_cast<size_t>(layout_.places()[t].bucket)].SampleResidual(
          tensor, window, windows_->samples(tensor));
    }
  }
  KeepProfilers(windows_->EndStep(step_, transport_));
}

void BucketReducer::AwaitWindow() { KeepProfilers(windows_->AwaitLeave(transport_)); }

void BucketReducer::KeepProfilers(const absl::Status& sent) {
  if (sent.ok()) return;
  SLUICE_LOG(Warning, "no more windows for that profiler after ", ToString(step_),
             ", its layers are planned by what is known of them: ", sent.message());
}

absl::Status BucketReducer::Mean(Step step, int number, absl::Span<float> data) {
  const uint32_t slot = kFirstMeanSlot + static_cast<uint32_t>(number) % kMeanSlots;
  const int64_t before = transport_.counters().sent_bytes;
  SLUICE_RETURN_IF_ERROR(AllReduce({transport_, options_.world_size, OperationName(step, 0, slot),
                                    absl::Now() + options_.timeout},
                                   {}, data, mean_buffers_));
  sent_before_ += transport_.counters().sent_bytes - before;
  Scale(1.0f / static_cast<float>(options_.world_size), data);
  return absl::OkStatus();
}

absl::Status BucketReducer::Transfer(Rank from, absl::Span<const int> to, std::string& bytes) {
  return sluice::Transfer(transport_, OperationName(step_, 0, kTransferSlot), options_.timeout,
                          from, to, bytes);
}

std::string BucketReducer::SaveState() const {
  ReducerState state;
  state.next_step = step_ + 1;
  state.world_size = options_.world_size;
  state.rank = transport_.self();
  state.chunk_key = ChunkKey(layout_);
  for (const TensorInfo& tensor : layout_.tensors()) {
    state.tensors.emplace_back();
    state.tensors.back().name = tensor.name;
    state.tensors.back().elements = tensor.elements;
  }
  std::vector<BucketCodec::SavedFactors> factors(codecs_.size());  // until it is written
  for (size_t b = 0; b < codecs_.size(); ++b) codecs_[b].Save(state, factors[b]);
  if (windows_) windows_->Save(state);
  return WriteReducerState(state);
}

absl::Status BucketReducer::LoadState(absl::string_view bytes, int64_t decided_window) {
  if (bytes.empty()) return absl::OkStatus();
  SLUICE_ASSIGN_OR_RETURN(const ReducerState state, ReadReducerState(bytes));
  if (state.rank != transport_.self() || state.world_size != options_.world_size ||
      state.next_step != step_ + 1) {
    return absl::FailedPreconditionError(
        absl::StrCat("reducer state of ", ToString(state.rank), " of ", state.world_size,
                     " before ", ToString(state.next_step), ", this is ",
                     ToString(transport_.self()), " of ", options_.world_size, " before ",
                     ToString(step_ + 1), ": MergeReducerStates makes one fit"));
  }
  if (state.tensors.size() != layout_.tensors().size()) {
    return absl::FailedPreconditionError(absl::StrCat("reducer state of ", state.tensors.size(),
                                                      " tensors, the model has ",
                                                      layout_.tensors().size()));
  }
  for (size_t t = 0; t < state.tensors.size(); ++t) {
    const TensorInfo& mine = layout_.tensors()[t];
    if (state.tensors[t].name == mine.name && state.tensors[t].elements == mine.elements) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        "reducer state of tensor \"", state.tensors[t].name, "\" with ", state.tensors[t].elements,
        " elements, the model has \"", mine.name, "\" with ", mine.elements, " there"));
  }
  for (BucketCodec& codec : codecs_) SLUICE_RETURN_IF_ERROR(codec.Load(state));
  if (!windows_) return absl::OkStatus();
  SLUICE_RETURN_IF_ERROR(windows_->Load(state));
  KeepProfilers(windows_->SendAgain(decided_window, transport_));
  return absl::OkStatus();
}

}  // namespace sluice
