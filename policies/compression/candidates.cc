#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "policies/compression/codec_choice.h"
#include "policies/compression/compression_policy.h"

namespace sluice {
namespace {

constexpr int32_t kMillion = 1000000;
/// PyTorch's PowerSGD hook has the same default: min_compression_rate.
constexpr double kLeastSaving = 2;

proto::CodecChoice Bucketed(proto::CodecKind kind, int bits, int bucket) {
  proto::CodecChoice codec;
  codec.set_kind(kind);
  codec.set_bits(bits);
  codec.set_bucket_size(bucket);
  return codec;
}

// Whether two factors of a rows x columns matrix have half its values or fewer.
bool FactorsSave(int64_t rows, int64_t columns, int64_t rank) {
  const double m = static_cast<double>(rows), n = static_cast<double>(columns);
  const double r = static_cast<double>(std::min({rows, columns, rank}));
  return kLeastSaving * (m + n) * r < m * n;
}

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
  const std::string& name = config.uniform_codec();
  proto::CodecChoice codec;
  if (name == "fp16") {
    codec.set_kind(proto::CODEC_FP16);
  } else if (name == "bf16") {
    codec.set_kind(proto::CODEC_BF16);
  } else if (name == "sign") {
    codec = Bucketed(proto::CODEC_SIGN, 1, config.uniform_bucket());
  } else if (name == "clipped") {
    codec = Bucketed(proto::CODEC_CLIPPED, config.uniform_bits(), config.uniform_bucket());
  } else if (name == "ternary") {
    codec = Bucketed(proto::CODEC_TERNARY, 2, config.uniform_bucket());
  } else if (name == "topk") {
    codec.set_kind(proto::CODEC_TOP_K);
    codec.set_bits(config.value_bits());
    const int64_t ppm = std::llround(config.uniform_density() * kMillion);
    codec.set_density_ppm(static_cast<int32_t>(std::clamp<int64_t>(ppm, 1, kMillion)));
  } else if (name == "lowrank") {
    codec.set_kind(proto::CODEC_LOW_RANK);
    codec.set_bits(config.value_bits());
    codec.set_rank(config.uniform_rank());
  } else {
    codec = Quantizer(config, config.uniform_bits(), config.uniform_bucket());
  }
  return codec;
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
  if (elements < config.min_elements()) return false;
  return config.uniform_codec() != "lowrank" ||
         FactorsSave(tensor.shape(0), elements / tensor.shape(0), config.uniform_rank());
}

}  // namespace sluice
