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
/// Of top-k's values, beside the job's: half of fp16's bytes for next to no error.
constexpr int kExtraValueBits = 8;
/// Top-k's values may have 4, factors may not.
constexpr int kLeastFactorBits = 8;

proto::CodecChoice Bucketed(proto::CodecKind kind, int bits, int bucket) {
  proto::CodecChoice codec;
  codec.set_kind(kind);
  codec.set_bits(bits);
  codec.set_bucket_size(bucket);
  return codec;
}

// A tensor of at least two dimensions as a matrix, the first one by the rest.
struct Matrix {
  double rows = 0, columns = 0;
};

Matrix AsMatrix(const proto::TensorSpec& tensor) {
  Matrix matrix = {static_cast<double>(tensor.shape(0)), 1};
  for (int i = 1; i < tensor.shape_size(); ++i) {
    matrix.columns *= static_cast<double>(tensor.shape(i));
  }
  return matrix;
}

// Whether both factors together, `saving` times over, have fewer values than the matrix.
bool FactorsSave(const Matrix& matrix, double rank, double saving) {
  const double r = std::min({matrix.rows, matrix.columns, rank});
  return saving * (matrix.rows + matrix.columns) * r < matrix.rows * matrix.columns;
}

proto::CodecChoice TopK(double density, int bits) {
  proto::CodecChoice codec;
  codec.set_kind(proto::CODEC_TOP_K);
  codec.set_bits(bits);
  const int64_t ppm = std::llround(density * kMillion);
  codec.set_density_ppm(static_cast<int32_t>(std::clamp<int64_t>(ppm, 1, kMillion)));
  return codec;
}

proto::CodecChoice LowRank(int rank, int bits) {
  proto::CodecChoice codec;
  codec.set_kind(proto::CODEC_LOW_RANK);
  codec.set_bits(bits);
  codec.set_rank(rank);
  return codec;
}

proto::CodecChoice Plain(proto::CodecKind kind) {
  proto::CodecChoice codec;
  codec.set_kind(kind);
  return codec;
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

std::vector<proto::CodecChoice> CandidateCodecs(const proto::Compression& config,
                                                const proto::TensorSpec& tensor) {
  std::vector<proto::CodecChoice> codecs(1);  // raw
  const auto add = [&](const proto::CodecChoice& codec) {
    const bool known = std::any_of(codecs.begin(), codecs.end(), [&](const proto::CodecChoice& c) {
      return SameCodec(c, codec);
    });
    if (!known && CanHaveBits(codec)) codecs.push_back(codec);
  };
  const auto offers = [&](const char* family) {
    const auto& families = config.candidate_families();
    return std::find(families.begin(), families.end(), family) != families.end();
  };
  add(UniformCodec(config));
  // Not in the job's order: an earlier option wins a tie, and lists are sets to people.
  if (offers("cast")) add(Plain(proto::CODEC_FP16));
  if (offers("quantizer")) {
    for (const int bits : config.candidate_bits()) {
      for (const int bucket : config.candidate_buckets()) add(Quantizer(config, bits, bucket));
    }
  }
  for (const int bucket : config.candidate_buckets()) {
    if (offers("clipped")) {
      for (const int bits : {1, 2}) add(Bucketed(proto::CODEC_CLIPPED, bits, bucket));
    }
    if (offers("sign")) add(Bucketed(proto::CODEC_SIGN, 1, bucket));
    if (offers("ternary")) add(Bucketed(proto::CODEC_TERNARY, 2, bucket));
  }
  if (offers("topk")) {
    for (const double density : config.candidate_densities()) {
      for (const int bits : {config.value_bits(), kExtraValueBits}) add(TopK(density, bits));
    }
  }
  if (offers("lowrank") && tensor.shape_size() >= 2) {
    for (const int rank : config.candidate_ranks()) {
      if (!FactorsSave(AsMatrix(tensor), rank, 1)) continue;
      add(LowRank(rank, std::max(config.value_bits(), kLeastFactorBits)));
    }
  }
  if (offers("drop")) add(Plain(proto::CODEC_DROP));
  return codecs;
}

proto::CodecChoice UniformCodec(const proto::Compression& config) {
  const std::string& name = config.uniform_codec();
  proto::CodecChoice codec;
  if (name == "fp16") {
    codec = Plain(proto::CODEC_FP16);
  } else if (name == "bf16") {
    codec = Plain(proto::CODEC_BF16);
  } else if (name == "sign") {
    codec = Bucketed(proto::CODEC_SIGN, 1, config.uniform_bucket());
  } else if (name == "clipped") {
    codec = Bucketed(proto::CODEC_CLIPPED, config.uniform_bits(), config.uniform_bucket());
  } else if (name == "ternary") {
    codec = Bucketed(proto::CODEC_TERNARY, 2, config.uniform_bucket());
  } else if (name == "topk") {
    codec = TopK(config.uniform_density(), config.value_bits());
  } else if (name == "lowrank") {
    codec = LowRank(config.uniform_rank(), config.value_bits());
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
         FactorsSave(AsMatrix(tensor), config.uniform_rank(), kLeastSaving);
}

}  // namespace sluice
