#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "comm/codec/codec_config.h"

namespace sluice {

/// What every encoded record starts with, little-endian:
///
///     offset  bytes  field
///     0       1      format version, 1
///     1       1      codec kind (CodecKind)
///     2       1      bits of the config
///     3       1      flags: bit 0 stochastic rounding, bit 1 exact selection; the others 0
///     4       4      number of elements
///     8       4      top-k: density in parts per million; else the config's bucket size
inline constexpr size_t kRecordHeaderBytes = 12;

/// \pre out.size() >= kRecordHeaderBytes, elements < 2^32
void WriteRecordHeader(const CodecConfig& config, int64_t elements, absl::Span<std::byte> out);

/// Checks that `record` starts with the header that WriteRecordHeader would write.
/// \error kDataLoss  too short, or a field differs: names it with both values
absl::Status CheckRecordHeader(const CodecConfig& config, int64_t elements,
                               absl::Span<const std::byte> record);

}  // namespace sluice
