#include "comm/codec/codec.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "comm/codec/kernels.h"
#include "comm/codec/quantised_body.h"
#include "comm/codec/record_header.h"
#include "comm/codec/top_k.h"

namespace sluice {
namespace {

// Bytes of a body whose last ones are padding, and how many are not.
struct BodyBytes {
  size_t total = 0;
  size_t used = 0;
};

BodyBytes BodyOf(const CodecConfig& config, size_t elements) {
  switch (config.kind) {
    case CodecKind::kRaw:
      return {elements * 4, elements * 4};
    case CodecKind::kFp16:
    case CodecKind::kBf16:
      return {(elements * 2 + 3) / 4 * 4, elements * 2};
    case CodecKind::kMaxMin:
    case CodecKind::kL2Norm:
    case CodecKind::kSign:
    case CodecKind::kClipped:
    case CodecKind::kTernary: {
      const size_t bytes_per_scale = config.kind == CodecKind::kMaxMin ? 8 : 4;
      const QuantisedBody body =
          LayoutOf(elements, config.bits, config.bucket_size, bytes_per_scale);
      return {body.bytes, body.scale_bytes + body.code_bytes};
    }
    case CodecKind::kDrop:
      return {};
    case CodecKind::kTopK: {
      const size_t bytes = TopKBodyBytes(config, elements);
      return {bytes, bytes};
    }
    case CodecKind::kLowRank:
      break;
  }
  SLUICE_CHECK(false, "a codec kind that has records");
  return {};
}

// Bits after the last code and bytes after the last value carry nothing: a record has one form
// only.
bool PaddingIsZero(const CodecConfig& config, const uint8_t* body, size_t elements,
                   BodyBytes bytes) {
  for (size_t i = bytes.used; i < bytes.total; ++i) {
    if (body[i] != 0) return false;
  }
  const size_t spare_bits = elements * config.bits % 8;  // bits is 0 unless a quantiser
  return spare_bits == 0 || body[bytes.used - 1] >> spare_bits == 0;
}

// Of a ternary code, 2 would be a zero with a sign: looks for one among codes and padding.
bool HasSignedZeros(const uint8_t* codes, size_t bytes) {
  uint64_t found = 0;
  for (size_t i = 0; i < bytes; i += 8) {
    uint64_t word;
    std::memcpy(&word, codes + i, 8);
    found |= word & ~(word << 1);
  }
  return (found & 0xaaaaaaaaaaaaaaaau) != 0;
}

QuantiserParams ParamsOf(const CodecConfig& config) {
  return {config.bits, config.bucket_size, config.stochastic};
}

}  // namespace

size_t EncodedBytes(const CodecConfig& config, int64_t elements) {
  SLUICE_CHECK(elements >= 0, "a count of elements");
  return kRecordHeaderBytes + BodyOf(config, static_cast<size_t>(elements)).total;
}

void Encode(const CodecConfig& config, absl::Span<const float> in, RandomKey key,
            absl::Span<std::byte> out) {
  const size_t n = in.size();
  SLUICE_CHECK(out.size() == EncodedBytes(config, static_cast<int64_t>(n)),
               "an encoded record fills its buffer exactly");
  WriteRecordHeader(config, static_cast<int64_t>(n), out);
  if (n == 0) return;
  uint8_t* body = reinterpret_cast<uint8_t*>(out.data()) + kRecordHeaderBytes;
  switch (config.kind) {
    case CodecKind::kRaw:
      std::memcpy(body, in.data(), n * sizeof(float));
      return;
    case CodecKind::kFp16:
      return EncodeFp16(in.data(), n, body);
    case CodecKind::kBf16:
      return EncodeBf16(in.data(), n, body);
    case CodecKind::kMaxMin:
      return EncodeMaxMin(in.data(), n, ParamsOf(config), key.value(), body);
    case CodecKind::kL2Norm:
      return EncodeL2Norm(in.data(), n, ParamsOf(config), key.value(), body);
    case CodecKind::kSign:
      return EncodeSign(in.data(), n, ParamsOf(config), body);
    case CodecKind::kClipped:
      return EncodeClipped(in.data(), n, ParamsOf(config), body);
    case CodecKind::kTernary:
      return EncodeTernary(in.data(), n, ParamsOf(config), body);
    case CodecKind::kDrop:
      return;
    case CodecKind::kTopK:
      return EncodeTopK(config, in.data(), n, body);
    case CodecKind::kLowRank:
      break;
  }
  SLUICE_CHECK(false, "a codec kind that has records");
}

absl::Status Decode(const CodecConfig& config, absl::Span<const std::byte> record, DecodeMode mode,
                    absl::Span<float> out) {
  SLUICE_RETURN_IF_ERROR(ValidateCodec(config));
  const size_t n = out.size();
  SLUICE_RETURN_IF_ERROR(CheckRecordHeader(config, static_cast<int64_t>(n), record));
  const BodyBytes bytes = BodyOf(config, n);
  if (record.size() != kRecordHeaderBytes + bytes.total) {
    return absl::DataLossError(absl::StrCat("record of ", ToString(config), " with ", n,
                                            " elements: ", record.size(), " bytes, expected ",
                                            kRecordHeaderBytes + bytes.total));
  }
  if (n == 0) return absl::OkStatus();
  const uint8_t* body = reinterpret_cast<const uint8_t*>(record.data()) + kRecordHeaderBytes;
  if (config.kind == CodecKind::kTopK) return DecodeTopK(config, body, n, mode, out.data());
  if (!PaddingIsZero(config, body, n, bytes)) {
    return absl::DataLossError(absl::StrCat("record of ", ToString(config), " with ", n,
                                            " elements: padding is not zero"));
  }
  switch (config.kind) {
    case CodecKind::kRaw:
      DecodeRaw(body, n, mode, out.data());
      return absl::OkStatus();
    case CodecKind::kFp16:
      DecodeFp16(body, n, mode, out.data());
      return absl::OkStatus();
    case CodecKind::kBf16:
      DecodeBf16(body, n, mode, out.data());
      return absl::OkStatus();
    case CodecKind::kMaxMin:
      DecodeMaxMin(body, n, ParamsOf(config), mode, out.data());
      return absl::OkStatus();
    case CodecKind::kL2Norm:
      DecodeL2Norm(body, n, ParamsOf(config), mode, out.data());
      return absl::OkStatus();
    case CodecKind::kSign:
      DecodeSign(body, n, ParamsOf(config), mode, out.data());
      return absl::OkStatus();
    case CodecKind::kClipped:
      DecodeClipped(body, n, ParamsOf(config), mode, out.data());
      return absl::OkStatus();
    case CodecKind::kTernary: {
      const QuantisedBody layout = LayoutOf(n, config.bits, config.bucket_size, 4);
      if (HasSignedZeros(body + layout.scale_bytes, layout.bytes - layout.scale_bytes)) {
        return absl::DataLossError(absl::StrCat("record of ", ToString(config), " with ", n,
                                                " elements: a code is 2, expected 0, 1 or 3"));
      }
      DecodeTernary(body, n, ParamsOf(config), mode, out.data());
      return absl::OkStatus();
    }
    case CodecKind::kDrop:  // adding or subtracting zeros changes nothing
      if (mode == DecodeMode::kAssign) std::fill(out.begin(), out.end(), 0.0f);
      return absl::OkStatus();
    case CodecKind::kTopK:
    case CodecKind::kLowRank:
      break;
  }
  SLUICE_CHECK(false, "a codec kind that has records");
  return absl::OkStatus();
}

std::string CodecInstructionSet() { return KernelInstructionSet(); }

}  // namespace sluice
