// Arbitrary floats through an arbitrary codec and back: never an error, bounded loss, right error
// report.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "absl/types/span.h"
#include "base/check.h"
#include "comm/codec/codec.h"
#include "comm/codec/codec_error.h"
#include "tests/fuzz/fuzz_input.h"

namespace sluice {
namespace {

// A width that the kind has, whatever the byte; 0 of those that are no quantiser.
uint8_t BitsFor(CodecKind kind, uint8_t byte) {
  switch (kind) {
    case CodecKind::kMaxMin:
      return 1 + byte % 8;
    case CodecKind::kL2Norm:
      return 2 + byte % 7;
    case CodecKind::kSign:
      return 1;
    case CodecKind::kClipped:
      return 1 + byte % 4;
    case CodecKind::kTernary:
      return 2;
    default:
      return 0;
  }
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  FuzzInput input(data, size);
  CodecConfig config;
  config.kind = static_cast<CodecKind>(input.Take<uint8_t>() % 9);  // all that are dense
  const uint8_t bits = input.Take<uint8_t>();
  const uint16_t bucket_size = input.Take<uint16_t>();
  const uint8_t flags = input.Take<uint8_t>();
  config.bits = BitsFor(config.kind, bits);
  if (config.bits > 0) config.bucket_size = 4 + bucket_size % ((flags & 2) != 0 ? 64 : 65533);
  if (config.kind == CodecKind::kMaxMin || config.kind == CodecKind::kL2Norm) {
    config.stochastic = (flags & 1) != 0;
  }
  SLUICE_CHECK(ValidateCodec(config).ok(), "the target makes valid configs only");
  const RandomKey key(input.Take<uint64_t>());
  const std::vector<float> values = input.TakeRest<float>();

  std::vector<std::byte> record(EncodedBytes(config, values.size()), std::byte{0x5a});
  Encode(config, values, key, absl::MakeSpan(record));
  std::vector<float> decoded(values.size());
  SLUICE_CHECK(Decode(config, record, DecodeMode::kAssign, absl::MakeSpan(decoded)).ok(),
               "what Encode wrote decodes");
  bool finite = true;
  for (float x : values) finite = finite && std::isfinite(x);
  if (IsLossless(config)) {
    SLUICE_CHECK(values.empty() ||
                     std::memcmp(values.data(), decoded.data(), values.size() * sizeof(float)) == 0,
                 "a lossless codec changes no bit");
  }

  // The residual of error feedback is the input minus what was sent, to the bit.
  std::vector<float> residual = values;
  SLUICE_CHECK(Decode(config, record, DecodeMode::kSubtract, absl::MakeSpan(residual)).ok(),
               "what Encode wrote decodes again");
  double error = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const float expected = values[i] - decoded[i];
    SLUICE_CHECK(residual[i] == expected || (std::isnan(residual[i]) && std::isnan(expected)),
                 "subtract uses the assigned values");
    const double difference = static_cast<double>(values[i]) - decoded[i];
    error += difference * difference;
  }

  const double reported = SquaredErrors({config}, values)[0];
  if (!finite && !IsLossless(config)) {
    SLUICE_CHECK(std::isnan(reported), "the error of values that are not finite is NaN");
  } else if (!config.stochastic && std::isfinite(error)) {
    SLUICE_CHECK(std::fabs(reported - error) <= 1e-4 * error, "the reported error is the real one");
  }
  return 0;
}
