#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/ids.h"

namespace sluice {

/// What stands in front of a rank's part of a window on its way to the profiler:
///
///     offset  bytes  field
///     0       4      magic "SLWS"
///     4       4      format version, 1
///     8       8      window number
///     16      8      last step of the window
///     24      8      n, floats that follow
///     32      4 n    fp32: for each bucket, the accumulator of the sender's chunk, divided by the
///                    sum of the weights, without the tensors of other profilers
///     32+4n   4 m    fp32: samples of the sender's residuals after the last step, tensor after tensor
///                    (residual_samples.h)
///
/// All little-endian.
struct SnapshotHeader {
  int64_t window = 0;
  Step last_step;
  int64_t floats = 0;
  int64_t samples = 0;  ///< the rest of the message
};

inline constexpr size_t kSnapshotHeaderBytes = 32;

/// \pre out.size() >= kSnapshotHeaderBytes; writes the first kSnapshotHeaderBytes
void WriteSnapshotHeader(const SnapshotHeader& header, absl::Span<std::byte> out);

/// Checks a whole message; any bytes are allowed.
/// \error kDataLoss  too short, another magic or format, a negative window or step, or a length
/// that
///                   does not fit the number of floats
absl::StatusOr<SnapshotHeader> ReadSnapshotHeader(absl::Span<const std::byte> message);

}  // namespace sluice
