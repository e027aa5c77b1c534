#pragma once

#include <cstddef>
#include <vector>

#include "base/random.h"
#include "comm/codec/codec.h"

namespace sluice {

/// The record as docs/codecs.md defines it, one value at a time and with no thought of speed.
/// \pre finite values whose buckets' range and norm fit fp32
std::vector<std::byte> ReferenceRecord(const CodecConfig& config, const std::vector<float>& values,
                                       RandomKey key);

}  // namespace sluice
