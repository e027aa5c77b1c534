#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "comm/collective/collective_context.h"
#include "comm/collective/scatter_reduce.h"

namespace sluice {

/// A float cut to its upper 16 bits: what the lossy toy codec keeps.
float TopBytes(float value);

/// Chunk codecs over a plain span of floats, cut into equal chunks but for the last ones.
class SpanCodec : public ChunkCodec {
 public:
  enum class Kind {
    kRaw,       ///< 4 bytes per value, lossless
    kTopBytes,  ///< 2 bytes per value
  };

  SpanCodec(Kind kind, const CollectiveContext& context, absl::Span<float> data);

  /// Elements [first, second) of chunk `chunk`.
  std::pair<int64_t, int64_t> Range(int chunk) const;

  size_t ChunkBytes(int chunk) const override;
  void EncodeMine(int chunk, absl::Span<std::byte> out) override;
  absl::Status AddReceived(Rank from, absl::Span<const std::byte> bytes) override;
  void EncodeSum(absl::Span<std::byte> out) override;
  absl::Status TakeSum(int chunk, absl::Span<const std::byte> bytes) override;

 private:
  absl::Span<float> Chunk(int chunk) const;
  float Decode(absl::Span<const std::byte> bytes, size_t i) const;

  const Kind kind_;
  const int self_;
  const int64_t ranks_;
  const absl::Span<float> data_;
  int64_t last_from_ = -1;
};

}  // namespace sluice
