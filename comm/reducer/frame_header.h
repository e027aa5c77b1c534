#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/ids.h"

namespace sluice {

/// What stands in front of every encoded segment on the wire, in both rounds:
///
///     offset  bytes  field
///     0       3      magic "SLF"
///     3       1      format version, 3
///     4       4      version of the plan in use
///     8       4      newest plan version that the sender holds in this step
///     12      4      bucket
///     16      8      step
///     24      4      segment of the chunk
///     28      1      exchange: 0, or 1 for the second one of a bucket with low-rank tensors
///     29      3      the sender's first tensor in the bucket whose gradient is not finite, plus one;
///                    0 if all are; kLossNotFinite if already the loss was not
///     32      8      when the sender sent it, on its steady clock, in nanoseconds
///     40      8      what the sender measures in the other direction: the least one-way time of an
///                    empty message, receiver's clock minus sender's, in nanoseconds; the lowest
///                    value if not known (comm/collective/link_model.h)
///
/// Integers are little-endian. One record per piece follows (docs/codecs.md).
struct FrameHeader {
  uint32_t plan_in_use = 0;
  uint32_t newest_plan = 0;
  uint32_t bucket = 0;
  Step step;
  uint32_t segment = 0;
  int64_t sent_ns = 0;
  int64_t reverse_ns = kUnknownNs;
  uint32_t exchange = 0;    ///< below 256
  uint32_t not_finite = 0;  ///< at most kLossNotFinite

  static constexpr uint32_t kLossNotFinite = 0xffffff;
  static constexpr int64_t kUnknownNs = std::numeric_limits<int64_t>::min();
};

inline constexpr size_t kFrameHeaderBytes = 48;

/// \pre out.size() >= kFrameHeaderBytes; writes the first kFrameHeaderBytes
void WriteFrameHeader(const FrameHeader& header, absl::Span<std::byte> out);

/// Reads the first kFrameHeaderBytes; any bytes are allowed.
/// \error kDataLoss            shorter than a header, or another magic
/// \error kFailedPrecondition  another format version: both values
absl::StatusOr<FrameHeader> ReadFrameHeader(absl::Span<const std::byte> frame);

/// A frame that belongs to another step, bucket, segment or plan than mine shows that the ranks disagree.
/// \error kFailedPrecondition  names both ranks and both values
absl::Status CheckSameOperation(const FrameHeader& mine, Rank self, const FrameHeader& theirs,
                                Rank from);

}  // namespace sluice
