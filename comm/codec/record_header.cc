#include "comm/codec/record_header.h"

#include <cstring>

#include "absl/base/config.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"

#ifndef ABSL_IS_LITTLE_ENDIAN
#error "records are written as they lie in memory: a big-endian machine needs byte swaps here"
#endif

namespace sluice {
namespace {

constexpr uint8_t kFormatVersion = 1;
constexpr uint8_t kStochasticFlag = 1;
constexpr uint8_t kExactFlag = 2;

struct Header {
  uint8_t version;
  uint8_t kind;
  uint8_t bits;
  uint8_t flags;
  uint32_t elements;
  uint32_t parameter;
};
static_assert(sizeof(Header) == kRecordHeaderBytes, "the header has no gaps");

Header MakeHeader(const CodecConfig& config, int64_t elements) {
  return {kFormatVersion,
          static_cast<uint8_t>(config.kind),
          config.bits,
          static_cast<uint8_t>((config.stochastic ? kStochasticFlag : 0) |
                               (config.exact ? kExactFlag : 0)),
          static_cast<uint32_t>(elements),
          config.kind == CodecKind::kTopK ? config.density_ppm : config.bucket_size};
}

absl::Status Differs(const char* field, uint64_t found, uint64_t expected,
                     const CodecConfig& config) {
  return absl::DataLossError(absl::StrCat("record of ", ToString(config), ": ", field, " is ",
                                          found, ", expected ", expected));
}

}  // namespace

void WriteRecordHeader(const CodecConfig& config, int64_t elements, absl::Span<std::byte> out) {
  SLUICE_CHECK(out.size() >= kRecordHeaderBytes, "room for a record header");
  SLUICE_CHECK(elements >= 0 && elements <= int64_t{UINT32_MAX}, "a record's count fits 32 bits");
  const Header header = MakeHeader(config, elements);
  std::memcpy(out.data(), &header, sizeof(header));
}

absl::Status CheckRecordHeader(const CodecConfig& config, int64_t elements,
                               absl::Span<const std::byte> record) {
  if (record.size() < kRecordHeaderBytes) {
    return absl::DataLossError(absl::StrCat("record of ", ToString(config), ": ", record.size(),
                                            " bytes, shorter than its header of ",
                                            kRecordHeaderBytes));
  }
  Header found;
  std::memcpy(&found, record.data(), sizeof(found));
  const Header expected = MakeHeader(config, elements);
  if (found.version != expected.version) {
    return Differs("format version", found.version, expected.version, config);
  }
  if (found.kind != expected.kind) {
    return Differs("codec kind", found.kind, expected.kind, config);
  }
  if (found.bits != expected.bits) return Differs("bits", found.bits, expected.bits, config);
  if (found.flags != expected.flags) return Differs("flags", found.flags, expected.flags, config);
  if (found.elements != static_cast<uint64_t>(elements)) {
    return Differs("element count", found.elements, elements, config);
  }
  if (found.parameter != expected.parameter) {
    return Differs(config.kind == CodecKind::kTopK ? "density" : "bucket size", found.parameter,
                   expected.parameter, config);
  }
  return absl::OkStatus();
}

}  // namespace sluice
