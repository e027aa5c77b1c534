#include "tests/comm/collective/span_codec.h"

#include <algorithm>
#include <cstring>

#include "gtest/gtest.h"

namespace sluice {

float TopBytes(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  bits &= 0xffff0000u;
  std::memcpy(&value, &bits, sizeof bits);
  return value;
}

SpanCodec::SpanCodec(Kind kind, const CollectiveContext& context, absl::Span<float> data)
    : kind_(kind),
      self_(static_cast<int>(context.transport.self().value)),
      ranks_(context.world_size),
      data_(data) {}

std::pair<int64_t, int64_t> SpanCodec::Range(int chunk) const {
  const auto size = static_cast<int64_t>(data_.size());
  const int64_t longest = (size + ranks_ - 1) / ranks_;
  return {std::min(size, chunk * longest), std::min(size, (chunk + 1) * longest)};
}

absl::Span<float> SpanCodec::Chunk(int chunk) const {
  const auto [begin, end] = Range(chunk);
  return data_.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
}

absl::Span<float> SpanCodec::Segment(int chunk, int segment) const {
  return Chunk(chunk).subspan(static_cast<size_t>(segment) * kSegment, kSegment);
}

int SpanCodec::Segments(int chunk) const {
  return static_cast<int>(std::max<size_t>(1, (Chunk(chunk).size() + kSegment - 1) / kSegment));
}

size_t SpanCodec::SegmentBytes(int chunk, int segment) const {
  return Segment(chunk, segment).size() * (kind_ == Kind::kRaw ? 4 : 2);
}

void SpanCodec::Encode(absl::Span<const float> values, absl::Span<std::byte> out) const {
  const size_t width = kind_ == Kind::kRaw ? 4 : 2;
  ASSERT_EQ(out.size(), values.size() * width);
  for (size_t i = 0; i < values.size(); ++i) {
    // The upper bytes come last in little-endian order.
    std::memcpy(out.data() + i * width, reinterpret_cast<const std::byte*>(&values[i]) + 4 - width,
                width);
  }
}

void SpanCodec::EncodeMine(int chunk, int segment, absl::Span<std::byte> out) {
  EXPECT_NE(chunk, self_);
  Encode(Segment(chunk, segment), out);
}

void SpanCodec::Arrived(Rank from, absl::Span<const std::byte>) {
  EXPECT_NE(from, Rank(self_));
  ++arrived_;
}

float SpanCodec::Decode(absl::Span<const std::byte> bytes, size_t i) const {
  const size_t width = kind_ == Kind::kRaw ? 4 : 2;
  float value = 0;
  std::memcpy(reinterpret_cast<std::byte*>(&value) + 4 - width, bytes.data() + i * width, width);
  return value;
}

absl::Status SpanCodec::AddReceived(Rank from, int segment, absl::Span<const std::byte> bytes) {
  last_from_.resize(static_cast<size_t>(Segments(self_)), -1);
  EXPECT_GT(from.value, last_from_[static_cast<size_t>(segment)]) << "not in ascending order";
  last_from_[static_cast<size_t>(segment)] = from.value;
  const absl::Span<float> sums = Segment(self_, segment);
  for (size_t i = 0; i < sums.size(); ++i) sums[i] += Decode(bytes, i);
  return absl::OkStatus();
}

void SpanCodec::EncodeSum(int segment, absl::Span<std::byte> out) {
  EXPECT_EQ(segment, sums_++) << "not in order";
  const absl::Span<float> sums = Segment(self_, segment);
  Encode(sums, out);
  for (size_t i = 0; i < sums.size(); ++i) sums[i] = Decode(out, i);
}

absl::Status SpanCodec::TakeSum(int chunk, int segment, absl::Span<const std::byte> bytes) {
  EXPECT_NE(chunk, self_);
  const absl::Span<float> values = Segment(chunk, segment);
  for (size_t i = 0; i < values.size(); ++i) values[i] = Decode(bytes, i);
  return absl::OkStatus();
}

}  // namespace sluice
