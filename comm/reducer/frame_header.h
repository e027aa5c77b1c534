#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/ids.h"

namespace sluice {

/// What stands in front of every encoded chunk on the wire, in both rounds:
///
///     offset  bytes  field
///     0       3      magic "SLF"
///     3       1      format version, 1
///     4       4      version of the plan in use
///     8       4      newest plan version that the sender holds in this step
///     12      4      bucket
///     16      8      step
///
/// Integers are little-endian. One record per piece follows (docs/codecs.md).
struct FrameHeader {
  uint32_t plan_in_use = 0;
  uint32_t newest_plan = 0;
  uint32_t bucket = 0;
  Step step;
};

inline constexpr size_t kFrameHeaderBytes = 24;

/// \pre out.size() >= kFrameHeaderBytes; writes the first kFrameHeaderBytes
void WriteFrameHeader(const FrameHeader& header, absl::Span<std::byte> out);

/// Reads the first kFrameHeaderBytes; any bytes are allowed.
/// \error kDataLoss            shorter than a header, or another magic
/// \error kFailedPrecondition  another format version: both values
absl::StatusOr<FrameHeader> ReadFrameHeader(absl::Span<const std::byte> frame);

/// A frame that belongs to another step, bucket or plan than mine shows that the ranks disagree.
/// \error kFailedPrecondition  names both ranks and both values
absl::Status CheckSameOperation(const FrameHeader& mine, Rank self, const FrameHeader& theirs,
                                Rank from);

}  // namespace sluice
