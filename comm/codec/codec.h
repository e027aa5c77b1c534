#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "base/random.h"
#include "comm/codec/codec_config.h"
#include "comm/codec/decode_mode.h"

namespace sluice {

/// Exact length of Encode's record for `elements` values: header, metadata, payload, padding.
/// A multiple of 4. \pre ValidateCodec(config).ok(), not kLowRank, 0 <= elements < 2^32
size_t EncodedBytes(const CodecConfig& config, int64_t elements);

/// Writes one record; allocates nothing. Any input is allowed: a quantiser's bucket that holds a
/// NaN or an infinity, or whose scale exceeds fp32, decodes to NaN throughout; casts keep a NaN or
/// an infinity in its place; kDrop drops it too.
///
/// \param key  stream for stochastic rounding. Element i draws 16 bits from key.Bits(i / 4),
///             whatever the vector width or the thread.
/// \pre out.size() == EncodedBytes(config, in.size()); `in` and `out` do not overlap
void Encode(const CodecConfig& config, absl::Span<const float> in, RandomKey key,
            absl::Span<std::byte> out);

/// Reads one record that must hold exactly out.size() values encoded with `config`.
/// Reads nothing past `record` and writes nothing but `out`, whatever the bytes are.
/// \error kDataLoss         wrong length, version, codec, parameter, count or padding, or a code
///                          that Encode never writes
/// \error kInvalidArgument  as ValidateCodec. After any error `out` is untouched
/// \pre not kLowRank, which has no records of its own
absl::Status Decode(const CodecConfig& config, absl::Span<const std::byte> record, DecodeMode mode,
                    absl::Span<float> out);

/// The instruction set that the kernels use on this machine, e.g. "AVX2".
std::string CodecInstructionSet();

}  // namespace sluice
