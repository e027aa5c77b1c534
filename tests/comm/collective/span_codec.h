#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "comm/collective/collective_context.h"
#include "comm/collective/scatter_reduce.h"

namespace sluice {

/// A float cut to its upper 16 bits: what the lossy toy codec keeps.
float TopBytes(float value);

/// Chunk codecs over a plain span of floats, cut into equal chunks but for the last ones, and those
/// into short segments. Checks the order of the calls.
class SpanCodec : public ChunkCodec {
 public:
  enum class Kind {
    kRaw,       ///< 4 bytes per value, lossless
    kTopBytes,  ///< 2 bytes per value
  };

  SpanCodec(Kind kind, const CollectiveContext& context, absl::Span<float> data);

  /// Elements [first, second) of chunk `chunk`.
  std::pair<int64_t, int64_t> Range(int chunk) const;

  /// Messages that have arrived.
  int arrived() const { return arrived_; }

  int Segments(int chunk) const override;
  size_t SegmentBytes(int chunk, int segment) const override;
  void EncodeMine(int chunk, int segment, absl::Span<std::byte> out) override;
  void Arrived(Rank from, absl::Span<const std::byte> bytes) override;
  absl::Status AddReceived(Rank from, int segment, absl::Span<const std::byte> bytes) override;
  void EncodeSum(int segment, absl::Span<std::byte> out) override;
  absl::Status TakeSum(int chunk, int segment, absl::Span<const std::byte> bytes) override;

 private:
  static constexpr size_t kSegment = 1000;  // elements

  absl::Span<float> Chunk(int chunk) const;
  absl::Span<float> Segment(int chunk, int segment) const;
  void Encode(absl::Span<const float> values, absl::Span<std::byte> out) const;
  float Decode(absl::Span<const std::byte> bytes, size_t i) const;

  const Kind kind_;
  const int self_;
  const int64_t ranks_;
  const absl::Span<float> data_;
  std::vector<int64_t> last_from_;  // added, by segment
  int sums_ = 0;                    // segments
  int arrived_ = 0;
};

}  // namespace sluice
