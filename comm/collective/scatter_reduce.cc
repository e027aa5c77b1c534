#include "comm/collective/scatter_reduce.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace sluice {
namespace {

enum Round { kScatter = 0, kGather = 1 };

constexpr size_t kAlignment = 64;

size_t Aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

void GrowTo(std::vector<std::byte>& buffer, size_t bytes) {
  if (buffer.size() < bytes) buffer.resize(bytes);
}

size_t ChunkBytes(const ChunkCodec& codec, int chunk) {
  size_t bytes = 0;
  for (int s = 0; s < codec.Segments(chunk); ++s) bytes += Aligned(codec.SegmentBytes(chunk, s));
  return bytes;
}

}  // namespace

MessageTag ScatterReduce::Tag(int round) const {
  return (static_cast<MessageTag>(context_->operation) << 8) + static_cast<MessageTag>(round);
}

void ScatterReduce::Start(const CollectiveContext& context, ChunkCodec& codec) {
  SLUICE_CHECK(done(), "a scatter-reduce ends before it starts anew");
  context_.emplace(context);
  codec_ = &codec;
  ranks_ = context.world_size;
  self_ = static_cast<int>(context.transport.self().value);
  const auto ranks = static_cast<size_t>(ranks_);

  const size_t mine = ChunkBytes(codec, self_);
  size_t others = 0;
  work_segments_ = 0;
  for (int chunk = 0; chunk < ranks_; ++chunk) {
    if (chunk == self_) continue;
    others += ChunkBytes(codec, chunk);
    work_segments_ = std::max(work_segments_, codec.Segments(chunk));
  }
  GrowTo(send_, others + mine);
  GrowTo(receive_, (ranks - 1) * mine + others);
  send_used_ = 0;
  if (scatter_.size() < ranks) scatter_.resize(ranks);
  if (gather_.size() < ranks) gather_.resize(ranks);
  heads_.assign(2 * ranks + 1, kNoRequest);
  sends_.clear();
  sends_over_ = 0;
  work_segment_ = 0;
  work_distance_ = 1;
  added_.assign(static_cast<size_t>(codec.Segments(self_)), 0);
  sums_sent_ = 0;
  open_streams_ = 2 * (ranks_ - 1);
  open_scatters_ = ranks_ - 1;

  absl::Span<std::byte> buffer = absl::MakeSpan(receive_);
  for (int from = 0; from < ranks_; ++from) {
    if (from != self_) PostReceives(kScatter, from, self_, buffer);
  }
  for (int from = 0; from < ranks_; ++from) {
    if (from != self_) PostReceives(kGather, from, from, buffer);
  }
  if (ranks_ == 1) {
    const absl::Status sums = AddWhatIsHere();
    SLUICE_CHECK(sums.ok(), "a world of one receives nothing that could be refused");
  }
}

void ScatterReduce::PostReceives(int round, int from, int chunk, absl::Span<std::byte>& buffer) {
  Stream& stream = (round == kScatter ? scatter_ : gather_)[static_cast<size_t>(from)];
  stream.parts.clear();
  stream.requests.clear();
  stream.arrived = 0;
  for (int s = 0; s < codec_->Segments(chunk); ++s) {
    const size_t bytes = codec_->SegmentBytes(chunk, s);
    stream.parts.push_back(buffer.first(bytes));
    buffer.remove_prefix(Aligned(bytes));
    stream.requests.push_back(
        context_->transport.Receive(Rank(from), Tag(round), stream.parts.back()));
  }
  heads_[round == kScatter ? ScatterHead(from) : GatherHead(from)] = stream.requests.front();
}

absl::Span<std::byte> ScatterReduce::NextSendPart(size_t bytes) {
  const auto part = absl::MakeSpan(send_).subspan(send_used_, bytes);
  send_used_ += Aligned(bytes);
  return part;
}

void ScatterReduce::Send(int to, int round, absl::Span<const std::byte> bytes) {
  sends_.push_back(context_->transport.Send(Rank(to), Tag(round), bytes));
  if (sends_over_ + 1 == sends_.size()) heads_[SendHead()] = sends_.back();
}

void ScatterReduce::Work() {
  const auto chunk = [&] { return (self_ + work_distance_) % ranks_; };
  const auto part = NextSendPart(codec_->SegmentBytes(chunk(), work_segment_));
  codec_->EncodeMine(chunk(), work_segment_, part);
  Send(chunk(), kScatter, part);
  // Chunks may differ in segments. When the work ends a send is in flight, whose end is taken.
  do {
    if (++work_distance_ < ranks_) continue;
    work_distance_ = 1;
    ++work_segment_;
  } while (HasWork() && work_segment_ >= codec_->Segments(chunk()));
}

absl::Status ScatterReduce::Take(size_t head) {
  const auto ranks = static_cast<size_t>(ranks_);
  if (head == SendHead()) {
    const RequestId sent = std::exchange(sends_[sends_over_++], kNoRequest);
    SLUICE_RETURN_IF_ERROR(context_->transport.Wait(sent, context_->deadline));
    heads_[head] = sends_over_ < sends_.size() ? sends_[sends_over_] : kNoRequest;
  } else if (head < ranks) {
    SLUICE_RETURN_IF_ERROR(TakeArrived(scatter_[head], static_cast<int>(head), head));
    SLUICE_RETURN_IF_ERROR(AddWhatIsHere());
  } else {
    const size_t from = head - ranks;
    Stream& stream = gather_[from];
    const size_t segment = stream.arrived;
    SLUICE_RETURN_IF_ERROR(TakeArrived(stream, static_cast<int>(from), head));
    SLUICE_RETURN_IF_ERROR_AT(
        codec_->TakeSum(static_cast<int>(from), static_cast<int>(segment), stream.parts[segment]),
        absl::StrCat("sum from rank ", from));
  }
  EndIfComplete();
  return absl::OkStatus();
}

absl::Status ScatterReduce::TakeOverdue() {
  const auto head = std::find_if(heads_.begin(), heads_.end(),
                                 [](RequestId request) { return request != kNoRequest; });
  SLUICE_CHECK(head != heads_.end(), "an operation without work waits for something");
  return Take(static_cast<size_t>(head - heads_.begin()));
}

absl::Status ScatterReduce::TakeArrived(Stream& stream, int from, size_t head) {
  const RequestId request = stream.requests[stream.arrived];
  stream.requests[stream.arrived] = kNoRequest;
  heads_[head] = kNoRequest;
  SLUICE_RETURN_IF_ERROR(context_->transport.Wait(request, context_->deadline));
  codec_->Arrived(Rank(from), stream.parts[stream.arrived]);
  if (++stream.arrived < stream.requests.size()) {
    heads_[head] = stream.requests[stream.arrived];
  } else {
    --open_streams_;
    if (head < static_cast<size_t>(ranks_)) --open_scatters_;
  }
  return absl::OkStatus();
}

// Segment by segment each rank's part in its turn; a segment whose ranks are all in is sent, in
// order.
absl::Status ScatterReduce::AddWhatIsHere() {
  const int segments = static_cast<int>(added_.size());
  for (int s = sums_sent_; s < segments; ++s) {
    int& next = added_[static_cast<size_t>(s)];
    for (; next < ranks_; ++next) {
      if (next == self_) continue;
      const Stream& stream = scatter_[static_cast<size_t>(next)];
      if (stream.arrived <= static_cast<size_t>(s)) break;
      SLUICE_RETURN_IF_ERROR_AT(
          codec_->AddReceived(Rank(next), s, stream.parts[static_cast<size_t>(s)]),
          absl::StrCat("encoding from rank ", next));
    }
    if (next < ranks_ || s != sums_sent_) continue;
    const auto sum = NextSendPart(codec_->SegmentBytes(self_, s));
    codec_->EncodeSum(s, sum);
    ++sums_sent_;
    for (int distance = 1; distance < ranks_; ++distance) {
      Send((self_ + distance) % ranks_, kGather, sum);
    }
  }
  EndIfComplete();
  return absl::OkStatus();
}

void ScatterReduce::EndIfComplete() {
  if (!HasWork() && open_streams_ == 0 && sums_sent_ == static_cast<int>(added_.size()) &&
      sends_over_ == sends_.size()) {
    context_.reset();
  }
}

void ScatterReduce::Cancel() {
  if (done()) return;
  const auto cancel = [&](RequestId request) {
    // The outcome no longer matters: an error is on its way to the caller already.
    if (request != kNoRequest) (void)context_->transport.Wait(request, absl::InfinitePast());
  };
  for (const std::vector<Stream>* round : {&scatter_, &gather_}) {
    for (int from = 0; from < ranks_; ++from) {
      const Stream& stream = (*round)[static_cast<size_t>(from)];
      if (from == self_) continue;
      for (RequestId request : stream.requests) cancel(request);
    }
  }
  for (RequestId request : sends_) cancel(request);
  work_segment_ = work_segments_;
  context_.reset();
}

absl::Status ScatterReduceAllGather(const CollectiveContext& context, ChunkCodec& codec,
                                    ScatterReduce& operation) {
  operation.Start(context, codec);
  absl::Status status;
  while (status.ok() && !operation.done()) {
    // What arrived goes first: others wait for the sums that it completes.
    const absl::Time until = operation.HasWork() ? absl::InfinitePast() : context.deadline;
    const std::optional<size_t> over = context.transport.WaitAny(operation.heads(), until);
    if (over) {
      status = operation.Take(*over);
    } else if (operation.HasWork()) {
      operation.Work();
    } else if (absl::Now() >= context.deadline) {
      status = operation.TakeOverdue();
    }
  }
  operation.Cancel();
  SLUICE_RETURN_IF_ERROR_AT(status, absl::StrCat("scatter-reduce-allgather ", context.operation));
  return absl::OkStatus();
}

}  // namespace sluice
