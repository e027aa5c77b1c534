#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace sluice {

/// How a span of floats becomes bytes. The numbers are on the wire (docs/codecs.md): append only.
enum class CodecKind : uint8_t {
  kRaw = 0,     ///< fp32, little-endian
  kFp16 = 1,    ///< IEEE half, round to nearest even; beyond its range: infinity
  kBf16 = 2,    ///< bfloat16, round to nearest even
  kMaxMin = 3,  ///< per bucket: min and step, then levels of `bits` bits (CGX, Markov et al. 2022)
  kL2Norm = 4,  ///< per bucket: L2 norm, then signs and levels (QSGD, Alistarh et al. 2017, 3.1)
};

/// A codec with its parameters. Equal configs encode equally; a value type, freely copied.
struct CodecConfig {
  CodecKind kind = CodecKind::kRaw;
  uint8_t bits = 0;          ///< quantisers: 1 to 8 (kL2Norm: 2 to 8, one of them the sign); else 0
  uint32_t bucket_size = 0;  ///< quantisers: elements that share a scale, 4 to 65536; else 0
  bool stochastic = false;   ///< quantisers: unbiased random rounding instead of to nearest

  friend bool operator==(const CodecConfig& a, const CodecConfig& b) {
    return a.kind == b.kind && a.bits == b.bits && a.bucket_size == b.bucket_size &&
           a.stochastic == b.stochastic;
  }
  friend bool operator!=(const CodecConfig& a, const CodecConfig& b) { return !(a == b); }
};

/// "raw", "fp16", "maxmin4/512", "l2norm4/512s" (s: stochastic).
std::string ToString(const CodecConfig& config);

/// \error kInvalidArgument naming the field and its range
absl::Status ValidateCodec(const CodecConfig& config);

/// True when decode(encode(x)) == x for every finite x.
bool IsLossless(const CodecConfig& config);

}  // namespace sluice
