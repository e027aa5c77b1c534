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

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  FuzzInput input(data, size);
  CodecConfig config;
  config.kind = static_cast<CodecKind>(input.Take<uint8_t>() % 5);
  const uint8_t bits = input.Take<uint8_t>();
  const uint16_t bucket_size = input.Take<uint16_t>();
  const uint8_t flags = input.Take<uint8_t>();
  if (config.kind == CodecKind::kMaxMin || config.kind == CodecKind::kL2Norm) {
    config.bits = config.kind == CodecKind::kMaxMin ? 1 + bits % 8 : 2 + bits % 7;
    config.bucket_size = 4 + bucket_size % ((flags & 2) != 0 ? 64 : 65533);
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
