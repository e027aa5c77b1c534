// The top-k codec on arbitrary bytes, as a record and as floats.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "absl/types/span.h"
#include "base/check.h"
#include "comm/codec/codec.h"
#include "comm/codec/codec_error.h"
#include "comm/codec/record_header.h"
#include "tests/fuzz/fuzz_input.h"

namespace sluice {
namespace {

constexpr int64_t kMaxElements = 5000;

size_t KeptOf(const CodecConfig& config, size_t elements) {
  const double share = std::ceil(static_cast<double>(elements) * config.density_ppm / 1e6);
  return elements == 0 ? 0 : std::max<size_t>(1, static_cast<size_t>(share));
}

// Decode answers, touches nothing when it refuses, and reads one form of a record only.
void TryDecode(const CodecConfig& config, const std::vector<std::byte>& record, DecodeMode mode,
               int64_t elements) {
  std::vector<float> out(elements, 7.0f);
  const absl::Status status = Decode(config, record, mode, absl::MakeSpan(out));
  if (!status.ok()) {
    SLUICE_CHECK(status.code() == absl::StatusCode::kDataLoss, "a documented error");
    for (float x : out) SLUICE_CHECK(x == 7.0f, "an error leaves the output alone");
    return;
  }
  SLUICE_CHECK(record.size() == EncodedBytes(config, elements), "only whole records decode");
  const float other = mode == DecodeMode::kAssign ? 0.0f : 7.0f;
  size_t touched = 0;
  for (float x : out) touched += x != other;
  SLUICE_CHECK(touched <= KeptOf(config, elements), "no more entries than the density says");
}

void RoundTrip(const CodecConfig& config, const std::vector<float>& values) {
  std::vector<std::byte> record(EncodedBytes(config, values.size()), std::byte{0x5a});
  Encode(config, values, RandomKey(1), absl::MakeSpan(record));
  std::vector<float> decoded(values.size());
  SLUICE_CHECK(Decode(config, record, DecodeMode::kAssign, absl::MakeSpan(decoded)).ok(),
               "what Encode wrote decodes");
  double error = 0;
  bool finite = true;
  size_t exact = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double difference = static_cast<double>(values[i]) - decoded[i];
    error += difference * difference;
    finite = finite && std::isfinite(values[i]);
    exact += std::memcmp(&values[i], &decoded[i], sizeof(float)) == 0;
  }
  if (config.bits == 32) {
    SLUICE_CHECK(exact >= KeptOf(config, values.size()), "kept values keep every bit");
  }
  const double reported = SquaredErrors({config}, values)[0];
  if (!finite) {
    SLUICE_CHECK(std::isnan(reported), "the error of values that are not finite is NaN");
  } else if (std::isfinite(error)) {
    SLUICE_CHECK(std::fabs(reported - error) <= 1e-6 * error, "the reported error is the real one");
  }
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  static constexpr uint8_t kBits[] = {32, 16, 8, 4};
  FuzzInput input(data, size);
  CodecConfig config;
  config.kind = CodecKind::kTopK;
  const uint8_t flags = input.Take<uint8_t>();
  config.bits = kBits[flags & 3];
  config.exact = (flags & 4) != 0;
  config.density_ppm = 1 + input.Take<uint32_t>() % ((flags & 8) != 0 ? 50000 : 1000000);
  SLUICE_CHECK(ValidateCodec(config).ok(), "the target makes valid configs only");
  const uint8_t mode = (flags >> 4) % 4;
  if (mode == 3) {
    RoundTrip(config, input.TakeRest<float>());
    return 0;
  }
  const int64_t elements = input.Take<uint16_t>() % kMaxElements;
  std::vector<std::byte> record = input.TakeRest<std::byte>();
  TryDecode(config, record, static_cast<DecodeMode>(mode), elements);
  // Past the header checks too: the right header and length around the same bytes.
  record.resize(EncodedBytes(config, elements));
  WriteRecordHeader(config, elements, absl::MakeSpan(record));
  TryDecode(config, record, static_cast<DecodeMode>(mode), elements);
  return 0;
}
