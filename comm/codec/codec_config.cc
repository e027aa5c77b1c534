#include "comm/codec/codec_config.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace sluice {
namespace {

// What a kind's parameters may be. A range of {0, 0} says that the kind has no such parameter.
struct KindRules {
  absl::string_view name;
  uint32_t min_bits, max_bits;
  uint32_t min_bucket, max_bucket;
  bool may_be_stochastic;
  uint32_t max_density_ppm;
  uint32_t max_rank;
};

constexpr uint32_t kMinBucketSize = 4;
constexpr uint32_t kMaxBucketSize = 65536;
constexpr uint32_t kMillion = 1000000;
constexpr uint32_t kMaxRank = 256;
constexpr uint32_t kFactorBucket = 512;

// By kind.
constexpr KindRules kRules[] = {
    {"raw", 0, 0, 0, 0, false, 0, 0},
    {"fp16", 0, 0, 0, 0, false, 0, 0},
    {"bf16", 0, 0, 0, 0, false, 0, 0},
    {"maxmin", 1, 8, kMinBucketSize, kMaxBucketSize, true, 0, 0},
    {"l2norm", 2, 8, kMinBucketSize, kMaxBucketSize, true, 0, 0},
    {"sign", 1, 1, kMinBucketSize, kMaxBucketSize, false, 0, 0},
    {"clipped", 1, 4, kMinBucketSize, kMaxBucketSize, false, 0, 0},
    {"ternary", 2, 2, kMinBucketSize, kMaxBucketSize, false, 0, 0},
    {"drop", 0, 0, 0, 0, false, 0, 0},
    {"topk", 4, 32, 0, 0, false, kMillion, 0},
    {"lowrank", 8, 32, 0, 0, false, 0, kMaxRank},
};
constexpr size_t kKinds = sizeof(kRules) / sizeof(kRules[0]);

absl::Status CheckRange(const CodecConfig& config, absl::string_view field, uint32_t value,
                        uint32_t min, uint32_t max) {
  if (value >= min && value <= max) return absl::OkStatus();
  const std::string expected =
      max == 0 ? absl::StrCat("0: it has no ", field) : absl::StrCat(min, " to ", max);
  return absl::InvalidArgumentError(absl::StrCat("codec ", ToString(config), ": ", field, " is ",
                                                 value, ", expected ", expected));
}

std::string ValueName(int bits) {
  return bits == 32 ? "fp32" : bits == 16 ? "fp16" : absl::StrCat("q", bits);
}

}  // namespace

std::string ToString(const CodecConfig& config) {
  const auto kind = static_cast<size_t>(config.kind);
  if (kind >= kKinds) return absl::StrCat("codec kind ", kind);
  const absl::string_view name = kRules[kind].name;
  switch (config.kind) {
    case CodecKind::kMaxMin:
    case CodecKind::kL2Norm:
    case CodecKind::kClipped:
      return absl::StrCat(name, static_cast<int>(config.bits), "/", config.bucket_size,
                          config.stochastic ? "s" : "");
    case CodecKind::kSign:
    case CodecKind::kTernary:
      return absl::StrCat(name, "/", config.bucket_size);
    case CodecKind::kTopK:
      return absl::StrCat(name, config.density_ppm / 1e4, "%/", ValueName(config.bits),
                          config.exact ? "x" : "");
    case CodecKind::kLowRank:
      return absl::StrCat(name, config.rank, "/", ValueName(config.bits));
    default:
      return std::string(name);
  }
}

absl::Status ValidateCodec(const CodecConfig& config) {
  const auto kind = static_cast<size_t>(config.kind);
  if (kind >= kKinds) {
    return absl::InvalidArgumentError(
        absl::StrCat("codec kind is ", kind, ", expected 0 (raw) to ", kKinds - 1, " (lowrank)"));
  }
  const KindRules& rules = kRules[kind];
  const auto check = [&](absl::string_view field, uint32_t value, uint32_t min, uint32_t max) {
    return CheckRange(config, field, value, min, max);
  };
  absl::Status status = check("bits", config.bits, rules.min_bits, rules.max_bits);
  status.Update(check("bucket_size", config.bucket_size, rules.min_bucket, rules.max_bucket));
  status.Update(check("density_ppm", config.density_ppm, rules.max_density_ppm > 0 ? 1 : 0,
                      rules.max_density_ppm));
  status.Update(check("rank", config.rank, rules.max_rank > 0 ? 1 : 0, rules.max_rank));
  if (!status.ok()) return status;
  if (config.stochastic && !rules.may_be_stochastic) {
    return absl::InvalidArgumentError(
        absl::StrCat("codec ", ToString(config), ": stochastic is set, but it rounds to nearest"));
  }
  if (config.exact && config.kind != CodecKind::kTopK) {
    return absl::InvalidArgumentError(
        absl::StrCat("codec ", ToString(config), ": exact is set, but it selects nothing"));
  }
  if (rules.max_bits == 32 && config.bits != 32 && config.bits != 16 && config.bits != 8 &&
      config.bits != rules.min_bits) {
    return absl::InvalidArgumentError(
        absl::StrCat("codec ", ToString(config), ": bits is ", static_cast<int>(config.bits),
                     ", expected 32, 16, 8", rules.min_bits == 4 ? " or 4" : ""));
  }
  return absl::OkStatus();
}

bool IsQuantiser(const CodecConfig& config) {
  const auto kind = static_cast<size_t>(config.kind);
  return kind < kKinds && kRules[kind].max_bucket > 0;
}

bool IsLossless(const CodecConfig& config) { return config.kind == CodecKind::kRaw; }

CodecConfig FactorCodec(const CodecConfig& config) {
  CodecConfig codec;
  if (config.bits == 16) codec.kind = CodecKind::kFp16;
  if (config.bits == 8) {
    codec.kind = CodecKind::kMaxMin;
    codec.bits = 8;
    codec.bucket_size = kFactorBucket;
  }
  return codec;
}

}  // namespace sluice
