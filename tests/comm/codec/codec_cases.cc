#include "tests/comm/codec/codec_cases.h"

#include <cmath>
#include <cstring>

#include "absl/types/span.h"
#include "base/check.h"

namespace sluice {

std::vector<CodecConfig> AllCodecs() {
  std::vector<CodecConfig> all = {{CodecKind::kRaw, 0, 0, false},
                                  {CodecKind::kFp16, 0, 0, false},
                                  {CodecKind::kBf16, 0, 0, false},
                                  {CodecKind::kDrop, 0, 0, false}};
  for (CodecKind kind : {CodecKind::kMaxMin, CodecKind::kL2Norm}) {
    for (uint8_t bits = kind == CodecKind::kL2Norm ? 2 : 1; bits <= 8; ++bits) {
      for (bool stochastic : {false, true}) all.push_back({kind, bits, 512, stochastic});
    }
    for (uint32_t bucket_size : {4u, 5u, 13u, 65u, 1000u, 3000u, 65536u}) {
      for (uint8_t bits : {3, 4, 8}) all.push_back({kind, bits, bucket_size, bits == 3});
    }
  }
  for (uint32_t bucket_size : {512u, 4u, 5u, 13u, 65u, 1000u, 3000u, 65536u}) {
    all.push_back({CodecKind::kSign, 1, bucket_size, false});
    all.push_back({CodecKind::kTernary, 2, bucket_size, false});
    for (uint8_t bits = 1; bits <= 4; ++bits) {
      all.push_back({CodecKind::kClipped, bits, bucket_size, false});
    }
  }
  return all;
}

std::string TestName(const CodecConfig& config) {
  std::string name = ToString(config);
  for (char& c : name) {
    if (c == '/') c = '_';
  }
  return name;
}

std::vector<int64_t> InterestingSizes() {
  std::vector<int64_t> sizes = {0,  1,  2,  3,  4,   5,   7,   8,    9,    15,   16,
                                17, 63, 64, 65, 511, 512, 513, 2047, 2048, 2049, 4097};
  for (uint64_t i = 0; i < 6; ++i) sizes.push_back(RandomKey(11).Below(i, 9000));
  return sizes;
}

std::vector<float> Gaussian(RandomKey key, int64_t n, float scale) {
  std::vector<float> values(n);
  for (int64_t i = 0; i < n; ++i) {
    const double u = (static_cast<double>(key.Bits(2 * i) >> 11) + 1) * 0x1p-53;
    const double v = static_cast<double>(key.Bits(2 * i + 1) >> 11) * 0x1p-53;
    values[i] =
        static_cast<float>(std::sqrt(-2 * std::log(u)) * std::cos(6.283185307179586 * v)) * scale;
  }
  return values;
}

std::vector<std::byte> EncodeRecord(const CodecConfig& config, const std::vector<float>& values,
                                    RandomKey key) {
  std::vector<std::byte> record(EncodedBytes(config, values.size()), std::byte{0xa5});
  Encode(config, values, key, absl::MakeSpan(record));
  return record;
}

std::vector<float> DecodeRecord(const CodecConfig& config, const std::vector<std::byte>& record,
                                int64_t n) {
  std::vector<float> values(n, 123.0f);
  const absl::Status status = Decode(config, record, DecodeMode::kAssign, absl::MakeSpan(values));
  SLUICE_CHECK(status.ok(), std::string(status.message()).c_str());
  return values;
}

std::vector<uint32_t> BitsOf(const std::vector<float>& values) {
  std::vector<uint32_t> bits(values.size());
  if (!bits.empty()) std::memcpy(bits.data(), values.data(), bits.size() * sizeof(uint32_t));
  return bits;
}

}  // namespace sluice
