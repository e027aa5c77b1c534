// Arbitrary bytes as a record of an arbitrary codec: Decode answers, and touches nothing else.

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "base/check.h"
#include "comm/codec/codec.h"
#include "comm/codec/record_header.h"
#include "tests/fuzz/fuzz_input.h"

namespace sluice {
namespace {

constexpr int64_t kMaxElements = 5000;

// One of the kinds that have dense records, or an unknown one.
CodecKind KindOf(uint8_t byte) {
  constexpr uint8_t kDense = static_cast<uint8_t>(CodecKind::kDrop) + 1;
  constexpr uint8_t kUnknown = 99;
  const uint8_t kind = byte % (kDense + 1);
  return static_cast<CodecKind>(kind < kDense ? kind : kUnknown);
}

void TryDecode(const CodecConfig& config, absl::Span<const std::byte> record, DecodeMode mode,
               int64_t elements) {
  std::vector<float> out(elements, 7.0f);
  const absl::Status status = Decode(config, record, mode, absl::MakeSpan(out));
  if (status.ok()) {
    SLUICE_CHECK(record.size() == EncodedBytes(config, elements), "only whole records decode");
    return;
  }
  const absl::StatusCode expected =
      ValidateCodec(config).ok() ? absl::StatusCode::kDataLoss : absl::StatusCode::kInvalidArgument;
  SLUICE_CHECK(status.code() == expected, "a documented error");
  for (float x : out) SLUICE_CHECK(x == 7.0f, "an error leaves the output alone");
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  FuzzInput input(data, size);
  CodecConfig config;
  config.kind = KindOf(input.Take<uint8_t>());
  config.bits = input.Take<uint8_t>() % 10;
  config.bucket_size = input.Take<uint32_t>();
  const uint8_t flags = input.Take<uint8_t>();
  config.stochastic = (flags & 1) != 0;
  const auto mode = static_cast<DecodeMode>((flags >> 1) % 3);
  const int64_t elements = input.Take<uint16_t>() % kMaxElements;
  std::vector<std::byte> record = input.TakeRest<std::byte>();
  TryDecode(config, record, mode, elements);

  // Past the header checks too: the right header and length around the same bytes.
  if ((flags & 8) != 0) config.bucket_size = 4 + config.bucket_size % 65533;
  if (!ValidateCodec(config).ok()) return 0;
  record.resize(EncodedBytes(config, elements));
  WriteRecordHeader(config, elements, absl::MakeSpan(record));
  TryDecode(config, record, mode, elements);
  return 0;
}
