#pragma once

#include <functional>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "comm/codec/codec_config.h"
#include "comm/reducer/bucket_layout.h"

namespace sluice {

/// How fast one core of a machine encodes and decodes, as measured once. A value: tests make one up.
struct CodecSpeeds {
  struct Codec {
    CodecConfig config;
    double encode_seconds = 0;  ///< per element
    double decode_seconds = 0;  ///< per element that is decoded and added
  };
  std::vector<Codec> codecs;
  /// Low rank: of one multiply-add of a matrix with a factor.
  double product_seconds = 0;
};

/// Times each codec on a quarter of a million about normal values, best of a few runs: about a
/// millisecond per codec. Of low-rank codecs, the codecs of their factors, and the products of one shape.
/// \param clock  the time now; does not go backwards
/// \pre every config is valid
CodecSpeeds MeasureCodecSpeeds(absl::Span<const CodecConfig> codecs,
                               const std::function<absl::Time()>& clock);

/// What one rank spends per step on encoding and decoding a tensor, as BucketCodec does it: each of N
/// ranks encodes (N - 1) / N of it for the others and 1 / N as their sum, adds N - 1 parts of 1 / N, takes
/// (N - 1) / N from the others, and decodes what it encoded to learn what that lost: all of it with error
/// feedback, its own sum without. Low rank: four products with a factor (three without feedback), the
/// orthonormal columns, and the same of both factors.
/// \return 0 in a world of one, where nothing is encoded, and for a codec that was not measured
double CodecSeconds(const CodecSpeeds& speeds, const CodecConfig& codec, const TensorInfo& tensor,
                    int world_size, bool error_feedback);

}  // namespace sluice
