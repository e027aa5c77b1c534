#include "comm/codec/codec_error.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "base/check.h"
#include "comm/codec/kernels.h"
#include "comm/codec/top_k_error.h"

namespace sluice {
namespace {

bool SharesBuckets(const CodecConfig& a, const CodecConfig& b) {
  return IsQuantiser(a) && IsQuantiser(b) && a.bucket_size == b.bucket_size;
}

double CastError(CodecKind kind, absl::Span<const float> values) {
  constexpr size_t kBlock = 1024;
  uint8_t body[2 * kBlock];
  float decoded[kBlock];
  double sum = 0;
  for (size_t begin = 0; begin < values.size(); begin += kBlock) {
    const absl::Span<const float> block = values.subspan(begin, kBlock);
    if (kind == CodecKind::kFp16) {
      EncodeFp16(block.data(), block.size(), body);
      DecodeFp16(body, block.size(), DecodeMode::kAssign, decoded);
    } else {
      EncodeBf16(block.data(), block.size(), body);
      DecodeBf16(body, block.size(), DecodeMode::kAssign, decoded);
    }
    for (size_t i = 0; i < block.size(); ++i) {
      const double error = static_cast<double>(block[i]) - decoded[i];
      sum += error * error;
      // Infinity minus infinity is NaN already; this is the infinity that a cast made of a finite
      // value.
      if (!std::isfinite(block[i])) sum = std::numeric_limits<double>::quiet_NaN();
    }
  }
  return sum;
}

// What is lost when nothing is sent.
double DropError(absl::Span<const float> values) {
  const double sum = SquaredNorm(values.data(), values.size());
  return std::isfinite(sum) ? sum : std::numeric_limits<double>::quiet_NaN();
}

// Of a codec that shares no work with others.
double ErrorOf(const CodecConfig& config, absl::Span<const float> values) {
  switch (config.kind) {
    case CodecKind::kFp16:
    case CodecKind::kBf16:
      return CastError(config.kind, values);
    case CodecKind::kDrop:
      return DropError(values);
    default:
      break;
  }
  SLUICE_CHECK(false, "a codec kind whose error is that of its records");
  return 0;
}

// Adds the errors of all quantisers with the bucket size of configs[first], which is the first one.
void AddBucketErrors(absl::Span<const CodecConfig> configs, size_t first,
                     absl::Span<const float> values, absl::Span<double> errors) {
  std::vector<size_t> group;
  std::vector<CodecConfig> quantisers;
  for (size_t k = first; k < configs.size(); ++k) {
    if (!SharesBuckets(configs[first], configs[k])) continue;
    group.push_back(k);
    quantisers.push_back(configs[k]);
  }
  std::vector<double> sums(group.size(), 0.0);
  AddQuantiserErrors(values.data(), values.size(), quantisers.data(), quantisers.size(),
                     sums.data());
  for (size_t k = 0; k < group.size(); ++k) errors[group[k]] = sums[k];
}

// Fills in the errors of all top-k configs, which share a pass.
void FillTopKErrors(absl::Span<const CodecConfig> configs, absl::Span<const float> values,
                    std::vector<double>* errors, std::vector<bool>* done) {
  std::vector<size_t> group;
  std::vector<CodecConfig> group_configs;
  for (size_t k = 0; k < configs.size(); ++k) {
    if (configs[k].kind != CodecKind::kTopK) continue;
    group.push_back(k);
    group_configs.push_back(configs[k]);
  }
  const std::vector<double> group_errors = TopKSquaredErrors(group_configs, values);
  for (size_t k = 0; k < group.size(); ++k) errors[group[k]] = group_errors[k];
}

}  // namespace

std::vector<double> SquaredErrors(absl::Span<const CodecConfig> configs,
                                  absl::Span<const float> values) {
  std::vector<double> errors(configs.size(), 0.0);
  for (size_t k = 0; k < configs.size(); ++k) {
    SLUICE_CHECK(ValidateCodec(configs[k]).ok(), "a codec whose error is asked for is valid");
    if (IsLossless(configs[k])) continue;
    if (configs[k].kind == CodecKind::kTopK) {
      const bool first = std::none_of(configs.begin(), configs.begin() + k,
                                      [](const CodecConfig& c) { return c.kind == CodecKind::kTopK; });
      if (first) FillTopKErrors(configs, values, absl::MakeSpan(errors));
      continue;
    }
    if (!IsQuantiser(configs[k])) {
      errors[k] = ErrorOf(configs[k], values);
      continue;
    }
    const bool done = std::any_of(configs.begin(), configs.begin() + k, [&](const CodecConfig& c) {
      return SharesBuckets(c, configs[k]);
    });
    if (!done) AddBucketErrors(configs, k, values, absl::MakeSpan(errors));
  }
  return errors;
}

}  // namespace sluice
