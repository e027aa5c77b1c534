#include "comm/reducer/bucket_codec.h"

#include <algorithm>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace sluice {
namespace {

// Adds the time of its life to `total`.
class Stopwatch {
 public:
  explicit Stopwatch(absl::Duration& total) : total_(total) {}
  ~Stopwatch() { total_ += absl::FromChrono(std::chrono::steady_clock::now() - begin_); }

 private:
  absl::Duration& total_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace

BucketCodec::BucketCodec(const BucketLayout& layout, Rank self, bool error_feedback, uint64_t seed,
                         SnapshotSender* windows)
    : layout_(layout),
      self_(self),
      error_feedback_(error_feedback),
      seed_(seed),
      windows_(windows),
      residuals_(layout.buckets().size()),
      step_key_(seed) {}

void BucketCodec::UsePlan(const CodecPlan& plan) {
  plan_ = &plan;
  chunk_bytes_.clear();
  for (size_t b = 0; b < layout_.buckets().size(); ++b) {
    const BucketLayout::Bucket& bucket = layout_.buckets()[b];
    for (int chunk = 0; chunk < layout_.world_size(); ++chunk) {
      chunk_bytes_.push_back(
          static_cast<size_t>(layout_.ChunkBytes(static_cast<int>(b), chunk, plan.codecs)));
    }
    const bool lossy = std::any_of(bucket.tensors.begin(), bucket.tensors.end(),
                                   [&](int t) { return !IsLossless(plan.codecs[t]); });
    if (error_feedback_ && lossy && residuals_[b].span().empty()) {
      residuals_[b] = AlignedFloats(bucket.elements);
    }
  }
}

void BucketCodec::Start(Step step, int bucket, uint32_t newest_plan, absl::Span<float> data) {
  const Stopwatch stopwatch(busy_);
  SLUICE_CHECK(plan_ != nullptr, "UsePlan comes before Start");
  header_ = {plan_->version, newest_plan, static_cast<uint32_t>(bucket), step};
  step_key_ = seed_.With(static_cast<uint64_t>(step.value));
  bucket_ = bucket;
  data_ = data;
  lowest_newest_plan_ = newest_plan;
  const float scale = 1.0f / static_cast<float>(layout_.world_size());
  if (residuals_[bucket].span().empty()) {
    Scale(scale, data_);
  } else {
    ScaleAndAdd(scale, residuals_[bucket].span(), data_);
  }
}

size_t BucketCodec::ChunkBytes(int chunk) const {
  return chunk_bytes_[static_cast<size_t>(bucket_) * layout_.world_size() + chunk];
}

absl::Span<float> BucketCodec::values_of(const Piece& piece) {
  return data_.subspan(piece.bucket_offset, piece.in_tensor.size());
}

absl::Span<float> BucketCodec::residual_of(const Piece& piece) {
  const absl::Span<float> residual = residuals_[bucket_].span();
  if (residual.empty()) return residual;
  return residual.subspan(piece.bucket_offset, piece.in_tensor.size());
}

void BucketCodec::Encode(int chunk, absl::Span<std::byte> frame) {
  WriteFrameHeader(header_, frame);
  frame.remove_prefix(kFrameHeaderBytes);
  for (const Piece& piece : layout_.buckets()[bucket_].chunks[chunk].pieces) {
    const CodecConfig& codec = plan_->codecs[piece.tensor];
    const absl::Span<float> values = values_of(piece);
    const absl::Span<float> residual = residual_of(piece);
    const absl::Span<std::byte> record = frame.first(EncodedBytes(codec, piece.in_tensor.size()));
    frame.remove_prefix(record.size());

    const RandomKey key = step_key_.With(layout_.tensors()[piece.tensor].name)
                              .With(static_cast<uint64_t>(self_.value))
                              .With(static_cast<uint64_t>(piece.in_tensor.begin));
    sluice::Encode(codec, values, key, record);
    if (IsLossless(codec)) {
      std::fill(residual.begin(), residual.end(), 0.0f);
      continue;
    }
    std::copy_n(values.begin(), residual.size(), residual.begin());
    absl::Status decoded;
    if (chunk ==
        static_cast<int>(self_.value)) {  // the owner goes on with what the others will see
      decoded = sluice::Decode(codec, record, DecodeMode::kAssign, values);
      if (!residual.empty()) Subtract(values, residual);
    } else if (!residual.empty()) {
      decoded = sluice::Decode(codec, record, DecodeMode::kSubtract, residual);
    }
    SLUICE_CHECK(decoded.ok(), "a record decodes where it was encoded");
  }
  SLUICE_CHECK(frame.empty(), "ChunkBytes is the length of the encoding");
}

absl::Status BucketCodec::Decode(int chunk, Rank from, absl::Span<const std::byte> frame,
                                 DecodeMode mode) {
  absl::StatusOr<FrameHeader> theirs = ReadFrameHeader(frame);
  if (!theirs.ok()) return Annotate(theirs.status(), absl::StrCat("from ", ToString(from)));
  SLUICE_RETURN_IF_ERROR(CheckSameOperation(header_, self_, *theirs, from));
  lowest_newest_plan_ = std::min(lowest_newest_plan_, theirs->newest_plan);
  if (frame.size() != ChunkBytes(chunk)) {
    return absl::DataLossError(absl::StrCat("from ", ToString(from), ": frame of ", frame.size(),
                                            " bytes, expected ", ChunkBytes(chunk)));
  }
  frame.remove_prefix(kFrameHeaderBytes);
  for (const Piece& piece : layout_.buckets()[bucket_].chunks[chunk].pieces) {
    const CodecConfig& codec = plan_->codecs[piece.tensor];
    const auto record = frame.first(EncodedBytes(codec, piece.in_tensor.size()));
    frame.remove_prefix(record.size());
    const absl::Status decoded = sluice::Decode(codec, record, mode, values_of(piece));
    if (!decoded.ok()) {
      return Annotate(decoded, absl::StrCat("from ", ToString(from), ", tensor ",
                                            layout_.tensors()[piece.tensor].name, " [",
                                            piece.in_tensor.begin, ", ", piece.in_tensor.end, ")"));
    }
  }
  return absl::OkStatus();
}

void BucketCodec::EncodeMine(int chunk, absl::Span<std::byte> out) {
  const Stopwatch stopwatch(busy_);
  Encode(chunk, out);
}

absl::Status BucketCodec::AddReceived(Rank from, absl::Span<const std::byte> bytes) {
  const Stopwatch stopwatch(busy_);
  return Decode(static_cast<int>(self_.value), from, bytes, DecodeMode::kAdd);
}

void BucketCodec::EncodeSum(absl::Span<std::byte> out) {
  const Stopwatch stopwatch(busy_);
  const int mine = static_cast<int>(self_.value);
  if (windows_ != nullptr) {
    const ElementRange range = layout_.buckets()[bucket_].chunks[mine].range;
    windows_->Add(header_.step, bucket_, data_.subspan(range.begin, range.size()));
  }
  Encode(mine, out);
}

absl::Status BucketCodec::TakeSum(int chunk, absl::Span<const std::byte> bytes) {
  const Stopwatch stopwatch(busy_);
  return Decode(chunk, Rank(chunk), bytes, DecodeMode::kAssign);
}

std::vector<float> BucketCodec::Residual(int tensor) const {
  const BucketLayout::Place place = layout_.places()[tensor];
  const auto elements = static_cast<size_t>(layout_.tensors()[tensor].elements);
  const absl::Span<const float> residual = residuals_[place.bucket].span();
  if (residual.empty()) return std::vector<float>(elements, 0.0f);
  const auto part = residual.subspan(place.offset, elements);
  return std::vector<float>(part.begin(), part.end());
}

absl::Duration BucketCodec::TakeBusyTime() {
  const absl::Duration busy = busy_;
  busy_ = absl::ZeroDuration();
  return busy;
}

}  // namespace sluice
