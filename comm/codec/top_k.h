#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "comm/codec/codec_config.h"
#include "comm/codec/decode_mode.h"

/// The body of a record of CodecKind::kTopK (docs/top_k.md): always exactly
/// max(1, ceil(n * density)) entries, so that its length follows from config and n.
///
/// A NaN counts as larger than infinity, so that it is sent first: fp32 and fp16 values keep it in
/// its place, and a quantised block that holds it decodes to NaN throughout.
namespace sluice {

/// Bytes after the header. \pre 0 <= n < 2^32
size_t TopKBodyBytes(const CodecConfig& config, size_t n);

/// Allocates nothing; takes 40 KiB of stack. \pre n > 0, `body` has TopKBodyBytes
void EncodeTopK(const CodecConfig& config, const float* in, size_t n, uint8_t* body);

/// Elements that the record does not name become 0 in kAssign, and keep every bit in the other modes.
/// \pre n > 0, `body` has TopKBodyBytes; its contents may be anything
/// \error kDataLoss  places that do not ascend or are not in [0, n), not exactly the expected count
///                   of them, or padding that is not zero; then `out` is untouched
absl::Status DecodeTopK(const CodecConfig& config, const uint8_t* body, size_t n, DecodeMode mode,
                        float* out);

}  // namespace sluice
