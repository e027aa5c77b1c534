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
  CodecConfig codec;         ///< of the record; a low-rank tensor's: of its factor
  bool factor = false;       ///< whether its values lie in the bucket's factors, not its gradients
  ElementRange in_tensor;    ///< which of the tensor's, or the factor's, elements
  int64_t offset = 0;        ///< of the first in the bucket's flat gradients, or factors
  size_t bytes = 0;          ///< of the record
};

/// What one bucket's messages consist of under a plan, the same on every rank. A low-rank tensor
/// is there with one of its factors, which change from step to step, so there are two of these.
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

/// \param factor_elements  by tensor of the bucket: of the factor that travels; 0: not low-rank
WireBucket MakeWireBucket(const BucketLayout& layout, int bucket, const CodecPlan& plan,
                          absl::Span<const int64_t> factor_elements);

}  // namespace sluice
