#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "comm/codec/codec.h"
#include "comm/reducer/bucket_layout.h"
#include "comm/reducer/codec_plan.h"

namespace sluice {

/// One record on the wire.
struct WirePiece {
  int tensor = 0;
  CodecConfig codec;       ///< of the record; a low-rank tensor's: of its factor
  bool factor = false;     ///< whether its values lie in the bucket's factors, not its gradients
  ElementRange in_tensor;  ///< which of the tensor's, or the factor's, elements
  int64_t offset = 0;      ///< of the first in the bucket's flat gradients, or factors
  size_t bytes = 0;        ///< of the record
};

/// What one exchange of a bucket consists of under a plan, the same on every rank. Low-rank tensors
/// are there with their left factors in the first exchange, beside all other tensors, and with their
/// right ones in the second, which has nothing else and exists for them alone.
///
/// Chunks and segments are the layout's, without low-rank tensors; the factors are shared out over
/// the chunks and go with their first segments. Trailing segments without a piece are left out.
struct WireBucket {
  struct Segment {
    std::vector<WirePiece> pieces;
    size_t bytes = 0;  ///< frame header included
  };
  std::vector<std::vector<Segment>> chunks;  ///< by rank; each has at least one segment
  int64_t factor_elements = 0;               ///< of all low-rank tensors
  std::vector<int64_t> factor_offsets;       ///< by tensor of the bucket; -1: not low-rank
};

/// \param factor_elements  by tensor of the bucket: of the factor that travels; 0: none does
/// \param exchange         0, or 1: factors alone
WireBucket MakeWireBucket(const BucketLayout& layout, int bucket, const CodecPlan& plan,
                          int exchange, absl::Span<const int64_t> factor_elements);

}  // namespace sluice
