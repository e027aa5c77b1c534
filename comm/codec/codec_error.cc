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

bool IsQuantiser(const CodecConfig& config) {
  return config.kind == CodecKind::kMaxMin || config.kind == CodecKind::kL2Norm;
}

bool SharesBuckets(const CodecConfig& a, const CodecConfig& b) {
  return a.kind == b.kind && a.bucket_size == b.bucket_size;
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

// Fills in the errors of all top-k configs, which share a pass.
void FillTopKErrors(absl::Span<const CodecConfig> configs, absl::Span<const float> values,
                    std::vector<double>* errors, std::vector<bool>* done) {
  std::vector<size_t> group;
  std::vector<CodecConfig> group_configs;
  for (size_t k = 0; k < configs.size(); ++k) {
    if (configs[k].kind != CodecKind::kTopK) continue;
    group.push_back(k);
    group_configs.push_back(configs[k]);
    (*done)[k] = true;
  }
  const std::vector<double> group_errors = TopKSquaredErrors(group_configs, values);
  for (size_t k = 0; k < group.size(); ++k) (*errors)[group[k]] = group_errors[k];
}

}  // namespace

std::vector<double> SquaredErrors(absl::Span<const CodecConfig> configs,
                                  absl::Span<const float> values) {
  std::vector<double> errors(configs.size(), 0.0);
  std::vector<bool> done(configs.size(), false);
  for (size_t first = 0; first < configs.size(); ++first) {
    SLUICE_CHECK(ValidateCodec(configs[first]).ok(), "a codec whose error is asked for is valid");
    if (done[first] || IsLossless(configs[first])) continue;
    if (configs[first].kind == CodecKind::kTopK) {
      FillTopKErrors(configs, values, &errors, &done);
      continue;
    }
    if (!IsQuantiser(configs[first])) {
      errors[first] = CastError(configs[first].kind, values);
      continue;
    }
    std::vector<size_t> group;
    std::vector<QuantiserParams> params;
    for (size_t k = first; k < configs.size(); ++k) {
      if (!SharesBuckets(configs[first], configs[k])) continue;
      group.push_back(k);
      params.push_back({configs[k].bits, configs[k].bucket_size, configs[k].stochastic});
      done[k] = true;
    }
    std::vector<double> sums(group.size(), 0.0);
    const auto add = configs[first].kind == CodecKind::kMaxMin ? AddMaxMinErrors : AddL2NormErrors;
    add(values.data(), values.size(), params.data(), params.size(), sums.data());
    for (size_t k = 0; k < group.size(); ++k) errors[group[k]] = sums[k];
  }
  return errors;
}

}  // namespace sluice
