#include "tests/comm/codec/reference_codec.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace sluice {
namespace {

class Writer {
 public:
  template <class T>
  void Put(T value) {
    const size_t at = bytes_.size();
    bytes_.resize(at + sizeof(T));
    std::memcpy(&bytes_[at], &value, sizeof(T));
  }
  // Appends the low `count` bits of `value` to the bit stream that starts at the first call.
  void PutBits(uint32_t value, int count) {
    for (int b = 0; b < count; ++b, ++bits_) {
      if (bits_ % 8 == 0) bytes_.push_back(std::byte{0});
      bytes_.back() |= static_cast<std::byte>((value >> b & 1) << (bits_ % 8));
    }
  }
  void PadTo(size_t multiple, size_t since) {
    while ((bytes_.size() - since) % multiple != 0) bytes_.push_back(std::byte{0});
  }
  size_t size() const { return bytes_.size(); }
  std::vector<std::byte> Take() { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
  int64_t bits_ = 0;
};

float Uniform(RandomKey key, size_t element) {
  const uint64_t draw = key.Bits(element / 4) >> (16 * (element % 4)) & 0xffff;
  return (static_cast<float>(draw) + 0.5f) * 0x1p-16f;
}

uint32_t Round(const CodecConfig& config, float position, float top, RandomKey key,
               size_t element) {
  if (!config.stochastic) return static_cast<uint32_t>(std::min(std::floor(position + 0.5f), top));
  const float down = std::floor(position);
  const float up = Uniform(key, element) < position - down ? 1.0f : 0.0f;
  return static_cast<uint32_t>(std::min(down + up, top));
}

// binary16 by search over neighbours: round to nearest, ties to even.
uint16_t Half(float x) {
  const uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  const double magnitude = std::fabs(static_cast<double>(x));
  if (magnitude >= 65520) return sign | 0x7c00;
  int exponent = magnitude > 0 ? std::ilogb(magnitude) : -14;
  exponent = std::max(exponent, -14);
  const double ulp = std::ldexp(1.0, exponent - 10);
  const double steps = std::nearbyint(magnitude / ulp);  // the default mode: ties to even
  // One step is one unit in the last place; a carry moves on to the next exponent by itself.
  const int bits = (exponent + 14) * 1024 + static_cast<int>(steps);
  return static_cast<uint16_t>(sign | bits);
}

uint16_t Bfloat(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  const uint32_t low = bits & 0xffff;
  uint32_t high = bits >> 16;
  if (low > 0x8000 || (low == 0x8000 && (high & 1))) ++high;
  return static_cast<uint16_t>(high);
}

// Sixteen sums of every sixteenth term, then added in pairs.
template <class Term>
double Sum(const std::vector<float>& values, Term term) {
  double sums[16] = {};
  for (size_t i = 0; i < values.size(); ++i) sums[i % 16] += term(static_cast<double>(values[i]));
  for (int width = 8; width > 0; width /= 2) {
    for (int k = 0; k < width; ++k) sums[k] += sums[k + width];
  }
  return sums[0];
}

// What the values of a bucket share, of all quantisers but max-min.
float Scale(const CodecConfig& config, const std::vector<float>& bucket) {
  const double count = static_cast<double>(bucket.size());
  if (config.kind == CodecKind::kSign) {
    return static_cast<float>(Sum(bucket, [](double x) { return std::fabs(x); }) / count);
  }
  const double squares = Sum(bucket, [](double x) { return x * x; });
  if (config.kind == CodecKind::kL2Norm) return static_cast<float>(std::sqrt(squares));
  constexpr double kSteps[] = {0, 1.596, 0.9957, 0.5860, 0.3352};
  const double of_rms = config.kind == CodecKind::kTernary ? 1.224 : kSteps[config.bits];
  return static_cast<float>(of_rms * std::sqrt(squares / count));
}

// |x| in units of unit / factor.
float Position(float x, float factor, float unit) {
  const float lift = unit < 0x1p-64f ? 0x1p64f : 1.0f;
  return std::fabs(x) * lift * (factor / (unit * lift));
}

uint32_t Code(const CodecConfig& config, float x, float scale, RandomKey key, size_t element) {
  const uint32_t sign = std::signbit(x) ? 1u << (config.bits - 1) : 0;
  const float top = static_cast<float>((1 << (config.bits - 1)) - 1);
  switch (config.kind) {
    case CodecKind::kSign:
      return sign;
    case CodecKind::kTernary:
      return std::fabs(x) < scale / 2 ? 0 : sign | 1;
    case CodecKind::kClipped:
      return static_cast<uint32_t>(std::min(std::floor(Position(x, 1, scale)), top)) | sign;
    default:
      return Round(config, Position(x, top, scale), top, key, element) | sign;
  }
}

}  // namespace

std::vector<std::byte> ReferenceRecord(const CodecConfig& config, const std::vector<float>& values,
                                       RandomKey key) {
  Writer out;
  out.Put<uint8_t>(1);
  out.Put<uint8_t>(static_cast<uint8_t>(config.kind));
  out.Put<uint8_t>(config.bits);
  out.Put<uint8_t>(config.stochastic ? 1 : 0);
  out.Put<uint32_t>(static_cast<uint32_t>(values.size()));
  out.Put<uint32_t>(config.bucket_size);
  if (config.kind == CodecKind::kDrop) return out.Take();
  if (config.kind == CodecKind::kRaw) {
    for (float x : values) out.Put(x);
    return out.Take();
  }
  if (config.kind == CodecKind::kFp16 || config.kind == CodecKind::kBf16) {
    const size_t body = out.size();
    for (float x : values) out.Put<uint16_t>(config.kind == CodecKind::kFp16 ? Half(x) : Bfloat(x));
    out.PadTo(4, body);
    return out.Take();
  }

  std::vector<uint32_t> codes;
  for (size_t begin = 0; begin < values.size(); begin += config.bucket_size) {
    const size_t end = std::min(values.size(), begin + config.bucket_size);
    if (config.kind == CodecKind::kMaxMin) {
      float min = values[begin];
      float max = values[begin];
      for (size_t i = begin; i < end; ++i) {
        min = std::min(min, values[i]);
        max = std::max(max, values[i]);
      }
      min += 0.0f;  // of the two zeros, the positive one
      max += 0.0f;
      const float top = static_cast<float>((1 << config.bits) - 1);
      float unit = (max - min) / top;
      if (unit < 0x1p-126f && unit * top < max - min) unit += 0x1p-149f;
      out.Put(unit);
      out.Put(min);
      for (size_t i = begin; i < end; ++i) {
        codes.push_back(unit > 0 ? Round(config, (values[i] - min) / unit, top, key, i) : 0);
      }
    } else {
      const std::vector<float> bucket(values.begin() + begin, values.begin() + end);
      const float scale = Scale(config, bucket);
      out.Put(scale);
      for (size_t i = begin; i < end; ++i) {
        codes.push_back(scale > 0 ? Code(config, values[i], scale, key, i) : 0);
      }
    }
  }
  const size_t stream = out.size();
  for (uint32_t code : codes) out.PutBits(code, config.bits);
  out.PadTo(8, stream);
  return out.Take();
}

}  // namespace sluice
