#include <algorithm>
#include <cstdint>
#include <limits>

#include "policies/compression/codec_choice.h"
#include "policies/compression/compression_policy.h"

namespace sluice {
namespace {

proto::CodecChoice Quantizer(const proto::Compression& config, int bits, int bucket) {
  proto::CodecChoice codec;
  codec.set_kind(config.quantizer() == "l2norm" ? proto::CODEC_L2NORM : proto::CODEC_MAXMIN);
  codec.set_bits(bits);
  codec.set_bucket_size(bucket);
  codec.set_stochastic(config.rounding() == "stochastic");
  return codec;
}

}  // namespace

std::vector<proto::CodecChoice> CandidateCodecs(const proto::Compression& config) {
  std::vector<proto::CodecChoice> codecs(1);  // raw
  auto add = [&](const proto::CodecChoice& codec) {
    const bool known = std::any_of(codecs.begin(), codecs.end(), [&](const proto::CodecChoice& c) {
      return SameCodec(c, codec);
    });
    if (!known && CanHaveBits(codec)) codecs.push_back(codec);
  };
  add(UniformCodec(config));
  proto::CodecChoice fp16;
  fp16.set_kind(proto::CODEC_FP16);
  add(fp16);
  for (const int bits : config.candidate_bits()) {
    for (const int bucket : config.candidate_buckets()) add(Quantizer(config, bits, bucket));
  }
  return codecs;
}

proto::CodecChoice UniformCodec(const proto::Compression& config) {
  return Quantizer(config, config.uniform_bits(), config.uniform_bucket());
}

bool IsEligible(const proto::Compression& config, const proto::TensorSpec& tensor) {
  if (tensor.shape_size() < 2) return false;
  int64_t elements = 1;
  for (const int64_t extent : tensor.shape()) {
    if (extent <= 0) return false;
    // Beyond 64 bits it is large enough for any minimum.
    elements = elements > std::numeric_limits<int64_t>::max() / extent
                   ? std::numeric_limits<int64_t>::max()
                   : elements * extent;
  }
  return elements >= config.min_elements();
}

}  // namespace sluice
