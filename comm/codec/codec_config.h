#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace sluice {

/// How a tensor becomes bytes. The numbers are on the wire (docs/codecs.md): append only.
enum class CodecKind : uint8_t {
  kRaw = 0,      ///< fp32, little-endian
  kFp16 = 1,     ///< IEEE half, round to nearest even; beyond its range: infinity
  kBf16 = 2,     ///< bfloat16, round to nearest even
  kMaxMin = 3,   ///< per bucket: min and step, then levels of `bits` bits (CGX, Markov et al. 2022)
  kL2Norm = 4,   ///< per bucket: L2 norm, then signs and levels (QSGD, Alistarh et al. 2017, 3.1)
  kSign = 5,     ///< per bucket: mean magnitude, then signs (EF-signSGD, Karimireddy et al. 2019)
  kClipped = 6,  ///< per bucket: a symmetric grid without zero, clipped where its error is least
  kTernary = 7,  ///< per bucket: a grid of -s, 0 and s: zero stays zero
  kDrop = 8,     ///< nothing: decodes to zeros
  kTopK = 9,     ///< the `k` values of largest magnitude, with their places
  kLowRank = 10  ///< factors of rank `rank` (PowerSGD, Vogels et al. 2019); of whole tensors, so
                 ///< that it has no records of its own: its factors have (FactorCodec)
};

/// A codec with its parameters. Equal configs encode equally; a value type, freely copied.
struct CodecConfig {
  CodecKind kind = CodecKind::kRaw;
  /// kMaxMin 1 to 8, kL2Norm 2 to 8 (one of them the sign), kSign 1, kClipped 1 to 4, kTernary 2;
  /// kTopK: of a value: 32, 16 (fp16), 8 or 4 (maxmin); kLowRank: of a factor's value: 32, 16 or 8;
  /// else 0
  uint8_t bits = 0;
  uint32_t bucket_size =
      0;  ///< kMaxMin to kTernary: elements that share a scale, 4 to 65536; else 0
  bool stochastic = false;   ///< kMaxMin, kL2Norm: unbiased random rounding instead of to nearest
  uint32_t density_ppm = 0;  ///< kTopK: values kept of a million, 1 to 1000000; else 0
  bool exact = false;        ///< kTopK: exactly the largest; else to a histogram's resolution
  uint16_t rank = 0;         ///< kLowRank: 1 to 256; else 0

  friend bool operator==(const CodecConfig& a, const CodecConfig& b) {
    return a.kind == b.kind && a.bits == b.bits && a.bucket_size == b.bucket_size &&
           a.stochastic == b.stochastic && a.density_ppm == b.density_ppm && a.exact == b.exact &&
           a.rank == b.rank;
  }
  friend bool operator!=(const CodecConfig& a, const CodecConfig& b) { return !(a == b); }
};

/// "raw", "fp16", "maxmin4/512", "l2norm4/512s" (s: stochastic), "sign/512", "clipped2/512",
/// "ternary/512", "drop", "topk1%/fp16", "topk0.1%/q8x" (q8: 8 bits, x: exact), "lowrank4/fp32".
std::string ToString(const CodecConfig& config);

/// \error kInvalidArgument naming the field and its range
absl::Status ValidateCodec(const CodecConfig& config);

/// True of kMaxMin to kTernary: the codecs with a bucket size.
bool IsQuantiser(const CodecConfig& config);

/// True when decode(encode(x)) == x for every finite x.
bool IsLossless(const CodecConfig& config);

/// How the factors of a kLowRank codec travel: raw, fp16, or maxmin8/512.
/// \pre config.kind == kLowRank
CodecConfig FactorCodec(const CodecConfig& config);

}  // namespace sluice
