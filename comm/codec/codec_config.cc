#include "comm/codec/codec_config.h"

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr uint32_t kMinBucketSize = 4;
constexpr uint32_t kMaxBucketSize = 65536;

bool IsQuantiser(CodecKind kind) {
  return kind == CodecKind::kMaxMin || kind == CodecKind::kL2Norm;
}

}  // namespace

std::string ToString(const CodecConfig& config) {
  switch (config.kind) {
    case CodecKind::kRaw:
      return "raw";
    case CodecKind::kFp16:
      return "fp16";
    case CodecKind::kBf16:
      return "bf16";
    case CodecKind::kMaxMin:
    case CodecKind::kL2Norm:
      return absl::StrCat(config.kind == CodecKind::kMaxMin ? "maxmin" : "l2norm",
                          static_cast<int>(config.bits), "/", config.bucket_size,
                          config.stochastic ? "s" : "");
  }
  return absl::StrCat("codec kind ", static_cast<int>(config.kind));
}

absl::Status ValidateCodec(const CodecConfig& config) {
  const int bits = config.bits;
  if (config.kind > CodecKind::kL2Norm) {
    return absl::InvalidArgumentError(absl::StrCat("codec kind is ", static_cast<int>(config.kind),
                                                   ", expected 0 (raw) to 4 (l2norm)"));
  }
  const std::string name = ToString(config);
  if (!IsQuantiser(config.kind)) {
    if (bits != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("codec ", name, ": bits is ", bits, ", expected 0: it is no quantiser"));
    }
    if (config.bucket_size != 0) {
      return absl::InvalidArgumentError(absl::StrCat("codec ", name, ": bucket_size is ",
                                                     config.bucket_size,
                                                     ", expected 0: it is no quantiser"));
    }
    if (config.stochastic) {
      return absl::InvalidArgumentError(
          absl::StrCat("codec ", name, ": stochastic is set, but it is no quantiser"));
    }
    return absl::OkStatus();
  }
  const int min_bits = config.kind == CodecKind::kL2Norm ? 2 : 1;
  if (bits < min_bits || bits > 8) {
    return absl::InvalidArgumentError(
        absl::StrCat("codec ", name, ": bits is ", bits, ", expected ", min_bits, " to 8"));
  }
  if (config.bucket_size < kMinBucketSize || config.bucket_size > kMaxBucketSize) {
    return absl::InvalidArgumentError(absl::StrCat("codec ", name, ": bucket_size is ",
                                                   config.bucket_size, ", expected ",
                                                   kMinBucketSize, " to ", kMaxBucketSize));
  }
  return absl::OkStatus();
}

bool IsLossless(const CodecConfig& config) { return config.kind == CodecKind::kRaw; }

}  // namespace sluice
