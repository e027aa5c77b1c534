#include "comm/reducer/bucket_codec.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "comm/reducer/residual_samples.h"

namespace sluice {
namespace {

using Clock = std::chrono::steady_clock;

// Adds the time of its life to `total`.
class Stopwatch {
 public:
  explicit Stopwatch(absl::Duration& total) : total_(total) {}
  ~Stopwatch() { total_ += absl::FromChrono(Clock::now() - begin_); }

 private:
  absl::Duration& total_;
  const Clock::time_point begin_ = Clock::now();
};

int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch())
      .count();
}

// Each step has two turns of low-rank tensors, one per exchange.
Step Turn(Step step, int exchange) { return Step(2 * step.value + exchange); }

absl::Span<const std::byte> BytesOf(absl::Span<const float> floats) {
  return {reinterpret_cast<const std::byte*>(floats.data()), floats.size() * sizeof(float)};
}

std::vector<float> FloatsOf(absl::Span<const std::byte> bytes) {
  std::vector<float> floats(bytes.size() / sizeof(float));
  if (!floats.empty()) std::memcpy(floats.data(), bytes.data(), bytes.size());
  return floats;
}

}  // namespace

BucketCodec::BucketCodec(const BucketLayout& layout, int bucket, const BucketCodecOptions& options)
    : layout_(layout),
      bucket_(bucket),
      shape_(layout.buckets()[bucket]),
      options_(options),
      low_rank_(shape_.tensors.size()),
      saved_low_rank_(shape_.tensors.size()),
      step_key_(options.seed) {}

void BucketCodec::UsePlan(const CodecPlan& plan) {
  plan_version_ = plan.version;
  bool lossy = false;
  for (size_t i = 0; i < shape_.tensors.size(); ++i) {
    const int t = shape_.tensors[i];
    const TensorInfo& tensor = layout_.tensors()[t];
    const CodecConfig& codec = plan.codecs[t];
    lossy = lossy || !IsLossless(codec);
    if (codec.kind != CodecKind::kLowRank) continue;
    if (low_rank_[i] == nullptr) {
      low_rank_[i] =
          std::make_unique<LowRankTensor>(tensor.rows, tensor.elements / tensor.rows, codec.rank,
                                          RandomKey(options_.seed).With(tensor.name));
    }
    low_rank_[i]->SetRank(codec.rank);
    if (options_.restorable) saved_low_rank_[i] = std::make_unique<LowRankTensor>(*low_rank_[i]);
  }
  for (int exchange = 0; exchange < 2; ++exchange) {
    std::vector<int64_t> factors(shape_.tensors.size(), 0);
    for (size_t i = 0; i < factors.size(); ++i) {
      if (plan.codecs[shape_.tensors[i]].kind != CodecKind::kLowRank) continue;
      if (exchange == 1 && low_rank_[i]->full()) continue;  // the first one is exact
      factors[i] = low_rank_[i]->FactorElements(Turn(Step(0), exchange));
    }
    wires_[exchange] = MakeWireBucket(layout_, bucket_, plan, exchange, factors);
  }
  if (options_.error_feedback && lossy && residual_.span().empty()) {
    residual_ = AlignedFloats(shape_.elements);
    if (options_.restorable) next_residual_ = AlignedFloats(shape_.elements);
  }
  const int64_t factors = std::max(wires_[0].factor_elements, wires_[1].factor_elements);
  if (static_cast<int64_t>(factors_.span().size()) < factors) {
    factors_ = AlignedFloats(factors);
    sent_factors_ = AlignedFloats(factors);
  }
}

absl::Span<float> BucketCodec::gradient_of(int place_in_bucket) {
  const int t = shape_.tensors[static_cast<size_t>(place_in_bucket)];
  return data_.subspan(static_cast<size_t>(layout_.places()[t].offset),
                       static_cast<size_t>(layout_.tensors()[t].elements));
}

// Of this bucket's tensors, in backward order.
std::optional<int> BucketCodec::FirstNotFinite() {
  if (AllFinite(data_)) return std::nullopt;
  for (size_t i = 0; i < shape_.tensors.size(); ++i) {
    if (!AllFinite(gradient_of(static_cast<int>(i)))) return shape_.tensors[i];
  }
  return std::nullopt;
}

void BucketCodec::Inspect(absl::Span<float> data, bool loss_not_finite) {
  data_ = data;
  not_finite_.reset();
  const std::optional<int> mine =
      loss_not_finite ? std::optional<int>(NotFinite::kLoss) : FirstNotFinite();
  if (mine) AddNotFinite(*mine, options_.self, not_finite_);
}

absl::Status BucketCodec::NoteNotFinite(uint32_t mark, Rank from) {
  if (mark == FrameHeader::kLossNotFinite) {
    AddNotFinite(NotFinite::kLoss, from, not_finite_);
    return absl::OkStatus();
  }
  const uint32_t tensor = mark - 1;
  if (tensor >= layout_.places().size() || layout_.places()[tensor].bucket != bucket_) {
    return absl::DataLossError(absl::StrCat("from ", ToString(from), ": tensor ", tensor,
                                            " is not one of bucket ", bucket_));
  }
  AddNotFinite(static_cast<int>(tensor), from, not_finite_);
  return absl::OkStatus();
}

void BucketCodec::Start(Step step, uint32_t newest_plan, absl::Span<float> data,
                        bool loss_not_finite) {
  encode_time_ = absl::ZeroDuration();
  decode_time_ = absl::ZeroDuration();
  const Stopwatch stopwatch(encode_time_);
  wire_ = &wires_[0];
  header_ = {};
  header_.plan_in_use = plan_version_;
  header_.newest_plan = newest_plan;
  header_.bucket = static_cast<uint32_t>(bucket_);
  header_.step = step;
  step_key_ = RandomKey(options_.seed).With(static_cast<uint64_t>(step.value));
  lowest_newest_plan_ = newest_plan;
  Inspect(data, loss_not_finite);
  if (not_finite_) {
    header_.not_finite = loss_not_finite ? FrameHeader::kLossNotFinite
                                         : static_cast<uint32_t>(not_finite_->tensor) + 1;
    // What the step leaves behind (windows, bases) is worth keeping: one part of it is missing.
    if (options_.restorable) std::fill(data_.begin(), data_.end(), 0.0f);
  }
  for (size_t i = 0; options_.restorable && i < low_rank_.size(); ++i) {
    if (low_rank_[i] != nullptr) *saved_low_rank_[i] = *low_rank_[i];
  }
  const float scale = 1.0f / static_cast<float>(layout_.world_size());
  if (residual_.span().empty()) {
    Scale(scale, data_);
  } else {
    ScaleAndAdd(scale, residual_.span(), data_);
  }
  EncodeFactors();
}

void BucketCodec::EncodeFactors() {
  for (size_t i = 0; i < low_rank_.size(); ++i) {
    if (wire_->factor_offsets[i] < 0) continue;
    low_rank_[i]->Encode(turn(), gradient_of(static_cast<int>(i)), factor_of(factors_, i));
  }
  if (wire_->factor_elements > 0) {
    const auto factors = factors_.span().first(static_cast<size_t>(wire_->factor_elements));
    std::copy(factors.begin(), factors.end(), sent_factors_.span().begin());
  }
}

Step BucketCodec::turn() const { return Turn(header_.step, static_cast<int>(header_.exchange)); }

absl::Span<float> BucketCodec::factor_of(AlignedFloats& factors, size_t i) {
  return factors.span().subspan(static_cast<size_t>(wire_->factor_offsets[i]),
                                static_cast<size_t>(low_rank_[i]->FactorElements(turn())));
}

bool BucketCodec::NextExchange() {
  if (header_.exchange == 1 || wires_[1].factor_elements == 0) return false;
  const Stopwatch stopwatch(encode_time_);
  for (size_t i = 0; i < low_rank_.size(); ++i) {
    if (wire_->factor_offsets[i] < 0) continue;
    if (wires_[1].factor_offsets[i] < 0) {
      DecodeFactor(i);
    } else {
      low_rank_[i]->Keep(turn(), factor_of(factors_, i));
    }
  }
  header_.exchange = 1;
  wire_ = &wires_[1];
  EncodeFactors();
  return true;
}

void BucketCodec::DecodeFactor(size_t i) {
  const absl::Span<float> gradient = gradient_of(static_cast<int>(i));
  low_rank_[i]->Decode(turn(), factor_of(factors_, i), factor_of(sent_factors_, i), gradient,
                       part_of_residual(layout_.places()[shape_.tensors[i]].offset,
                                        static_cast<int64_t>(gradient.size())));
}

int BucketCodec::Segments(int chunk) const {
  return static_cast<int>(wire_->chunks[static_cast<size_t>(chunk)].size());
}

size_t BucketCodec::SegmentBytes(int chunk, int s) const { return segment(chunk, s).bytes; }

absl::Span<float> BucketCodec::values_of(const WirePiece& piece) {
  const absl::Span<float> all = piece.factor ? factors_.span() : data_;
  return all.subspan(static_cast<size_t>(piece.offset),
                     static_cast<size_t>(piece.in_tensor.size()));
}

absl::Span<float> BucketCodec::part_of_residual(int64_t offset, int64_t size) {
  const absl::Span<float> residual = options_.restorable ? next_residual_.span() : residual_.span();
  if (residual.empty()) return residual;
  return residual.subspan(static_cast<size_t>(offset), static_cast<size_t>(size));
}

// An own piece is re-encoded as a sum: its rank goes on with what the others will see.
void BucketCodec::EncodePiece(const WirePiece& piece, bool mine, absl::Span<std::byte> record) {
  const absl::Span<float> values = values_of(piece);
  const RandomKey key = step_key_.With(layout_.tensors()[piece.tensor].name)
                            .With(static_cast<uint64_t>(options_.self.value))
                            .With(static_cast<uint64_t>(piece.in_tensor.begin));
  sluice::Encode(piece.codec, values, key, record);
  absl::Status decoded;
  if (piece.factor) {
    if (IsLossless(piece.codec)) return;  // sent as it is
    const auto sent =
        sent_factors_.span().subspan(static_cast<size_t>(piece.offset), values.size());
    if (mine) {
      Subtract(values, sent);
      decoded = sluice::Decode(piece.codec, record, DecodeMode::kAssign, values);
      Add(1.0f, values, sent);
    } else {
      decoded = sluice::Decode(piece.codec, record, DecodeMode::kAssign, sent);
    }
  } else {
    const absl::Span<float> residual = part_of_residual(piece.offset, piece.in_tensor.size());
    if (IsLossless(piece.codec)) {
      std::fill(residual.begin(), residual.end(), 0.0f);
      return;
    }
    std::copy_n(values.begin(), residual.size(), residual.begin());
    if (mine) {
      decoded = sluice::Decode(piece.codec, record, DecodeMode::kAssign, values);
      if (!residual.empty()) Subtract(values, residual);
    } else if (!residual.empty()) {
      decoded = sluice::Decode(piece.codec, record, DecodeMode::kSubtract, residual);
    }
  }
  SLUICE_CHECK(decoded.ok(), "a record decodes where it was encoded");
}

void BucketCodec::Encode(int chunk, int s, absl::Span<std::byte> frame) {
  absl::Span<std::byte> rest = frame.subspan(kFrameHeaderBytes);
  for (const WirePiece& piece : segment(chunk, s).pieces) {
    EncodePiece(piece, chunk == static_cast<int>(options_.self.value), rest.first(piece.bytes));
    rest.remove_prefix(piece.bytes);
  }
  SLUICE_CHECK(rest.empty(), "SegmentBytes is the length of the encoding");
  FrameHeader header = header_;
  header.segment = static_cast<uint32_t>(s);
  // Once per step is enough, and a fit costs something.
  if (options_.links != nullptr && bucket_ == 0 && s == 0 &&
      chunk != static_cast<int>(options_.self.value)) {
    const std::optional<double> intercept = options_.links->Intercept(Rank(chunk));
    if (intercept) header.reverse_ns = std::llround(*intercept * 1e9);
  }
  header.sent_ns = NowNs();
  WriteFrameHeader(header, frame);
}

absl::Status BucketCodec::Decode(int chunk, int s, Rank from, absl::Span<const std::byte> frame,
                                 DecodeMode mode) {
  absl::StatusOr<FrameHeader> theirs = ReadFrameHeader(frame);
  if (!theirs.ok()) return Annotate(theirs.status(), absl::StrCat("from ", ToString(from)));
  FrameHeader mine = header_;
  mine.segment = static_cast<uint32_t>(s);
  SLUICE_RETURN_IF_ERROR(CheckSameOperation(mine, options_.self, *theirs, from));
  lowest_newest_plan_ = std::min(lowest_newest_plan_, theirs->newest_plan);
  if (theirs->not_finite != 0) SLUICE_RETURN_IF_ERROR(NoteNotFinite(theirs->not_finite, from));
  if (frame.size() != SegmentBytes(chunk, s)) {
    return absl::DataLossError(absl::StrCat("from ", ToString(from), ": frame of ", frame.size(),
                                            " bytes, expected ", SegmentBytes(chunk, s)));
  }
  frame.remove_prefix(kFrameHeaderBytes);
  for (const WirePiece& piece : segment(chunk, s).pieces) {
    const auto record = frame.first(piece.bytes);
    frame.remove_prefix(piece.bytes);
    const absl::Status decoded = sluice::Decode(piece.codec, record, mode, values_of(piece));
    if (!decoded.ok()) {
      return Annotate(decoded,
                      absl::StrCat("from ", ToString(from), ", ", piece.factor ? "factor of " : "",
                                   "tensor ", layout_.tensors()[piece.tensor].name, " [",
                                   piece.in_tensor.begin, ", ", piece.in_tensor.end, ")"));
    }
  }
  return absl::OkStatus();
}

void BucketCodec::EncodeMine(int chunk, int s, absl::Span<std::byte> out) {
  const Stopwatch stopwatch(encode_time_);
  Encode(chunk, s, out);
}

void BucketCodec::Arrived(Rank from, absl::Span<const std::byte> bytes) {
  if (options_.links == nullptr) return;
  const absl::StatusOr<FrameHeader> header = ReadFrameHeader(bytes);
  if (!header.ok()) return;  // AddReceived and TakeSum say so
  // Unsigned: the bytes may hold any number.
  const auto elapsed =
      static_cast<int64_t>(static_cast<uint64_t>(NowNs()) - static_cast<uint64_t>(header->sent_ns));
  options_.links->Observe(from, static_cast<int64_t>(bytes.size()),
                          1e-9 * static_cast<double>(elapsed));
  if (header->reverse_ns != FrameHeader::kUnknownNs) {
    options_.links->ObserveReverse(from, 1e-9 * static_cast<double>(header->reverse_ns));
  }
}

absl::Status BucketCodec::AddReceived(Rank from, int s, absl::Span<const std::byte> bytes) {
  const Stopwatch stopwatch(decode_time_);
  return Decode(static_cast<int>(options_.self.value), s, from, bytes, DecodeMode::kAdd);
}

// The exact sums of my chunk. Those of low-rank tensors are nowhere; Finish has an estimate.
void BucketCodec::AddToWindow(int s) {
  for (const WirePiece& piece : segment(static_cast<int>(options_.self.value), s).pieces) {
    if (piece.factor) continue;
    options_.windows->Add(header_.step, bucket_, piece.offset, values_of(piece));
    // Of a dropped tensor nothing but my own part is here; it, N times, stands for all.
    if (piece.codec.kind != CodecKind::kDrop) continue;
    options_.windows->AddMore(bucket_, piece.offset, static_cast<float>(layout_.world_size() - 1),
                              values_of(piece));
  }
}

void BucketCodec::EncodeSum(int s, absl::Span<std::byte> out) {
  const Stopwatch stopwatch(encode_time_);
  if (options_.windows != nullptr) AddToWindow(s);
  Encode(static_cast<int>(options_.self.value), s, out);
}

absl::Status BucketCodec::TakeSum(int chunk, int s, absl::Span<const std::byte> bytes) {
  const Stopwatch stopwatch(decode_time_);
  return Decode(chunk, s, Rank(chunk), bytes, DecodeMode::kAssign);
}

void BucketCodec::Finish() {
  const Stopwatch stopwatch(decode_time_);
  if (wires_[0].factor_elements > 0) FinishLowRank();
  if (not_finite_) return;
  if (const std::optional<int> in_mean = FirstNotFinite()) not_finite_ = NotFinite{*in_mean, {}};
}

void BucketCodec::Conclude(bool keep) {
  if (!options_.restorable) return;
  if (keep) {
    std::swap(residual_, next_residual_);
    return;
  }
  for (size_t i = 0; i < low_rank_.size(); ++i) {
    if (low_rank_[i] != nullptr) *low_rank_[i] = *saved_low_rank_[i];
  }
}

void BucketCodec::FinishLowRank() {
  for (size_t i = 0; i < low_rank_.size(); ++i) {
    if (wire_->factor_offsets[i] >= 0) DecodeFactor(i);
  }
  if (options_.windows == nullptr) return;
  // The sum that no rank has is result + the residuals of all ranks; mine, N times, stands for
  // them.
  const auto ranks = static_cast<float>(layout_.world_size());
  for (const auto& pieces : shape_.chunks[static_cast<size_t>(options_.self.value)].segments) {
    for (const Piece& piece : pieces) {
      const auto in_bucket = std::find(shape_.tensors.begin(), shape_.tensors.end(), piece.tensor);
      if (wires_[0].factor_offsets[static_cast<size_t>(in_bucket - shape_.tensors.begin())] < 0) {
        continue;
      }
      const int64_t size = piece.in_tensor.size();
      options_.windows->Add(
          header_.step, bucket_, piece.bucket_offset,
          data_.subspan(static_cast<size_t>(piece.bucket_offset), static_cast<size_t>(size)));
      const absl::Span<float> residual = part_of_residual(piece.bucket_offset, size);
      if (!residual.empty()) {
        options_.windows->AddMore(bucket_, piece.bucket_offset, ranks, residual);
      }
    }
  }
}

std::vector<float> BucketCodec::Residual(int tensor) const {
  const BucketLayout::Place place = layout_.places()[tensor];
  const auto elements = static_cast<size_t>(layout_.tensors()[tensor].elements);
  const absl::Span<const float> residual = residual_.span();
  if (residual.empty()) return std::vector<float>(elements, 0.0f);
  const auto part = residual.subspan(static_cast<size_t>(place.offset), elements);
  return std::vector<float>(part.begin(), part.end());
}

void BucketCodec::SampleResidual(int tensor, int64_t window, absl::Span<float> out) const {
  const absl::Span<const float> residual = residual_.span();
  if (residual.empty()) {
    std::fill(out.begin(), out.end(), 0.0f);
    return;
  }
  const int64_t offset = layout_.places()[tensor].offset;
  for (size_t k = 0; k < out.size(); ++k) {
    out[k] = residual[static_cast<size_t>(offset +
                                          SampledElement(window, tensor, static_cast<int64_t>(k),
                                                         layout_.tensors()[tensor].elements))];
  }
}

void BucketCodec::ForgetResidual(int tensor, absl::Span<const ElementRange> ranges) {
  const absl::Span<float> residual = residual_.span();
  if (residual.empty()) return;
  const int64_t offset = layout_.places()[tensor].offset;
  for (const ElementRange& range : ranges) {
    std::fill_n(residual.data() + offset + range.begin, range.size(), 0.0f);
  }
}

void BucketCodec::Save(ReducerState& state, SavedFactors& factors) const {
  factors.resize(shape_.tensors.size());
  const absl::Span<const float> residual = residual_.span();
  for (size_t i = 0; i < shape_.tensors.size(); ++i) {
    const int t = shape_.tensors[i];
    ReducerState::Tensor& tensor = state.tensors[static_cast<size_t>(t)];
    if (!residual.empty()) {
      tensor.residual =
          BytesOf(residual.subspan(static_cast<size_t>(layout_.places()[t].offset),
                                   static_cast<size_t>(layout_.tensors()[t].elements)));
    }
    if (low_rank_[i] == nullptr) continue;
    factors[i] = low_rank_[i]->Save();
    tensor.reduced = factors[i].reduced;
    tensor.left = BytesOf(factors[i].left);
    tensor.right = BytesOf(factors[i].right);
  }
}

absl::Status BucketCodec::Load(const ReducerState& state) {
  for (size_t i = 0; i < shape_.tensors.size(); ++i) {
    const int t = shape_.tensors[i];
    const TensorInfo& info = layout_.tensors()[t];
    const ReducerState::Tensor& tensor = state.tensors[static_cast<size_t>(t)];
    if (options_.error_feedback && !tensor.residual.empty()) {
      if (residual_.span().empty()) residual_ = AlignedFloats(shape_.elements);
      std::memcpy(residual_.span().data() + layout_.places()[t].offset, tensor.residual.data(),
                  tensor.residual.size());
    }
    if (tensor.left.empty()) continue;
    low_rank_[i] = std::make_unique<LowRankTensor>(info.rows, info.elements / info.rows, /*rank=*/1,
                                                   RandomKey(options_.seed).With(info.name));
    const absl::Status restored =
        low_rank_[i]->Restore({tensor.reduced, FloatsOf(tensor.left), FloatsOf(tensor.right)});
    if (restored.ok()) continue;
    return absl::DataLossError(absl::StrCat("tensor ", info.name, ": ", restored.message()));
  }
  return absl::OkStatus();
}

}  // namespace sluice
