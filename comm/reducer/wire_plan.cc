#include "comm/reducer/wire_plan.h"

#include <utility>

#include "comm/reducer/frame_header.h"

namespace sluice {
namespace {

void Add(WirePiece piece, WireBucket::Segment& segment) {
  piece.bytes = EncodedBytes(piece.codec, piece.in_tensor.size());
  segment.bytes += piece.bytes;
  segment.pieces.push_back(piece);
}

}  // namespace

WireBucket MakeWireBucket(const BucketLayout& layout, int bucket, const CodecPlan& plan,
                          int exchange, absl::Span<const int64_t> factor_elements) {
  const BucketLayout::Bucket& source = layout.buckets()[bucket];
  const auto low_rank = [&](int t) { return plan.codecs[t].kind == CodecKind::kLowRank; };

  WireBucket wire;
  for (int64_t elements : factor_elements) {
    wire.factor_offsets.push_back(elements > 0 ? wire.factor_elements : -1);
    wire.factor_elements += elements;
  }

  for (int rank = 0; rank < layout.world_size(); ++rank) {
    std::vector<WireBucket::Segment> segments;
    for (const std::vector<Piece>& pieces : source.chunks[rank].segments) {
      WireBucket::Segment& segment = segments.emplace_back();
      segment.bytes = kFrameHeaderBytes;
      for (const Piece& piece : pieces) {
        if (exchange > 0 || low_rank(piece.tensor)) continue;
        Add({piece.tensor, plan.codecs[piece.tensor], false, piece.in_tensor, piece.bucket_offset,
             0},
            segment);
      }
    }
    for (size_t i = 0; i < source.tensors.size(); ++i) {
      const int t = source.tensors[i];
      const ElementRange part = FactorPart(factor_elements[i], layout.world_size(), rank);
      if (part.size() == 0) continue;
      Add({t, FactorCodec(plan.codecs[t]), true, part, wire.factor_offsets[i] + part.begin, 0},
          segments.front());
    }
    while (segments.size() > 1 && segments.back().pieces.empty()) segments.pop_back();
    wire.chunks.push_back(std::move(segments));
  }
  return wire;
}

}  // namespace sluice
