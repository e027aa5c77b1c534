#include "tests/comm/codec/top_k_cases.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "comm/codec/record_header.h"
#include "tests/comm/codec/codec_cases.h"

namespace sluice {
namespace {

uint32_t MagnitudeOf(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  return bits & 0x7fffffff;
}

class BitStream {
 public:
  void Set(size_t bit) {
    if (bytes_.size() <= bit / 8) bytes_.resize(bit / 8 + 1);
    bytes_[bit / 8] |= static_cast<std::byte>(1 << (bit % 8));
  }
  void Append(uint32_t value, int bits) {
    for (int b = 0; b < bits; ++b, ++appended_) {
      if ((value >> b & 1) != 0) Set(appended_);
    }
  }
  std::vector<std::byte> Take(size_t bits) {
    bytes_.resize((bits + 31) / 32 * 4);
    return bytes_;
  }

 private:
  std::vector<std::byte> bytes_;
  size_t appended_ = 0;
};

void AppendTo(std::vector<std::byte>* record, const std::vector<std::byte>& bytes) {
  record->insert(record->end(), bytes.begin(), bytes.end());
}

}  // namespace

CodecConfig TopK(uint32_t density_ppm, uint8_t bits, bool exact) {
  CodecConfig config;
  config.kind = CodecKind::kTopK;
  config.density_ppm = density_ppm;
  config.bits = bits;
  config.exact = exact;
  return config;
}

std::vector<CodecConfig> TopKCodecs() {
  std::vector<CodecConfig> all;
  for (uint32_t density_ppm :
       {1u, 1000u, 10000u, 31623u, 100000u, 250000u, 333333u, 600000u, 999999u, 1000000u}) {
    for (uint8_t bits : {32, 16, 8, 4}) {
      for (bool exact : {false, true}) all.push_back(TopK(density_ppm, bits, exact));
    }
  }
  return all;
}

std::string TopKTestName(const CodecConfig& config) {
  return "ppm" + std::to_string(config.density_ppm) + "_bits" + std::to_string(config.bits) +
         (config.exact ? "_exact" : "_histogram");
}

std::vector<int64_t> TopKSizes() {
  return {0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 65, 137, 511, 512, 513, 777, 1025, 3001};
}

std::vector<TopKInput> TopKInputs(RandomKey key, int64_t n) {
  const std::vector<float> normal = Gaussian(key, n);
  std::vector<TopKInput> inputs = {{"normal", normal}};
  const auto add = [&](const char* name, auto value) {
    std::vector<float> values(n);
    for (int64_t i = 0; i < n; ++i) values[i] = value(i);
    inputs.push_back({name, std::move(values)});
  };
  add("zeros", [](int64_t i) { return i % 3 == 0 ? -0.0f : 0.0f; });
  add("ones", [](int64_t i) { return i % 5 < 2 ? -1.0f : 1.0f; });
  add("few levels", [&](int64_t i) { return std::round(normal[i] * 2) * 0.25f; });
  add("one bin", [&](int64_t i) { return 1.0f + 0.06f * static_cast<float>(i % 97) / 97; });
  add("mostly zero", [&](int64_t i) { return i % 50 == 7 ? normal[i] : 0.0f; });
  add("denormal", [&](int64_t i) { return normal[i] * 1e-40f; });
  add("wide", [&](int64_t i) { return std::exp(normal[i] * 18); });
  add("large at the end", [&](int64_t i) { return normal[i] * (i >= n - n / 20 ? 1e3f : 1.0f); });
  return inputs;
}

std::vector<uint32_t> ReferencePlaces(const CodecConfig& config, const std::vector<float>& values) {
  const size_t n = values.size();
  if (n == 0) return {};
  const double share = static_cast<double>(config.density_ppm) * static_cast<double>(n) / 1e6;
  const size_t kept = std::min(n, std::max<size_t>(1, static_cast<size_t>(std::ceil(share))));
  std::vector<uint32_t> places(n);
  std::iota(places.begin(), places.end(), 0);
  std::stable_sort(places.begin(), places.end(), [&](uint32_t a, uint32_t b) {
    const int shift = config.exact ? 0 : 19;  // equal upper bits pass for equal
    return MagnitudeOf(values[a]) >> shift > MagnitudeOf(values[b]) >> shift;
  });
  places.resize(kept);
  std::sort(places.begin(), places.end());
  return places;
}

std::vector<std::byte> ReferenceTopKRecord(const CodecConfig& config,
                                           const std::vector<float>& values) {
  const size_t n = values.size();
  std::vector<std::byte> record(kRecordHeaderBytes);
  WriteRecordHeader(config, static_cast<int64_t>(n), absl::MakeSpan(record));
  if (n == 0) return record;
  const std::vector<uint32_t> places = ReferencePlaces(config, values);
  const size_t kept = places.size();

  const int low_bits = static_cast<int>(std::floor(std::log2(static_cast<double>(n / kept))));
  BitStream low;
  BitStream high;
  BitStream plain;
  for (size_t i = 0; i < kept; ++i) {
    low.Append(places[i] & ((1u << low_bits) - 1), low_bits);
    high.Set((places[i] >> low_bits) + i);
    plain.Set(places[i]);
  }
  std::vector<std::byte> succinct = low.Take(kept * low_bits);
  AppendTo(&succinct, high.Take(((n - 1) >> low_bits) + kept));
  const std::vector<std::byte> bitmap = plain.Take(n);
  AppendTo(&record, succinct.size() < bitmap.size() ? succinct : bitmap);

  CodecConfig value_codec;
  if (config.bits == 16) value_codec.kind = CodecKind::kFp16;
  if (config.bits <= 8) value_codec = {CodecKind::kMaxMin, config.bits, 512, false};
  for (size_t begin = 0; begin < kept; begin += 512) {
    std::vector<float> block;
    for (size_t i = begin; i < std::min(kept, begin + 512); ++i) {
      block.push_back(values[places[i]]);
    }
    std::vector<std::byte> encoded = EncodeRecord(value_codec, block);
    encoded.erase(encoded.begin(), encoded.begin() + kRecordHeaderBytes);
    AppendTo(&record, encoded);
  }
  return record;
}

}  // namespace sluice
