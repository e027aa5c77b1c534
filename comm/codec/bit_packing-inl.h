// Per-target: codes of 1 to 7 bits, one per byte, to and from a little-endian bit stream.
// Code j of a group of 8 is bits j * b to j * b + b - 1 of the group's b bytes.
#if defined(SLUICE_CODEC_BIT_PACKING_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_CODEC_BIT_PACKING_INL_H_
#undef SLUICE_CODEC_BIT_PACKING_INL_H_
#else
#define SLUICE_CODEC_BIT_PACKING_INL_H_
#endif

#include "comm/codec/vector_io-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sluice {
namespace HWY_NAMESPACE {

constexpr size_t kMaxPackedCodes = 2048;  // per call

// `part` repeated every `period` bits over 64 bits.
constexpr uint64_t Repeat(uint64_t part, int period) {
  uint64_t all = 0;
  for (int at = 0; at < 64; at += period) all |= part << at;
  return all;
}

constexpr uint64_t LowBits(int count) { return (uint64_t{1} << count) - 1; }

// Joins neighbours: in every 2 * kUnit bits, two values of kUsed bits at 0 and kUnit become one of
// 2 * kUsed bits.
template <int kUnit, int kUsed, class D, class V>
HWY_INLINE V Join(D d, V x) {
  const V low = hn::And(x, hn::Set(d, Repeat(LowBits(kUsed), 2 * kUnit)));
  const V high = hn::And(x, hn::Set(d, Repeat(LowBits(kUsed) << kUnit, 2 * kUnit)));
  return hn::Or(low, hn::ShiftRight<kUnit - kUsed>(high));
}

template <int kUnit, int kUsed, class D, class V>
HWY_INLINE V Split(D d, V x) {
  const V low = hn::And(x, hn::Set(d, Repeat(LowBits(kUsed), 2 * kUnit)));
  const V high = hn::And(hn::ShiftLeft<kUnit - kUsed>(x),
                         hn::Set(d, Repeat(LowBits(kUsed) << kUnit, 2 * kUnit)));
  return hn::Or(low, high);
}

// Packs `count` codes; writes ceil(count * kBits / 8) bytes, and zeros after them up to `end` at
// most. \pre count <= kMaxPackedCodes; codes[count, count rounded up to 64) are readable and those
// up to the
//      next multiple of 8 are 0
template <int kBits>
HWY_INLINE void Pack(const uint8_t* codes, size_t count, uint8_t* out, const uint8_t* end) {
  const hn::ScalableTag<uint64_t> d;
  const hn::Repartition<uint8_t, decltype(d)> d8;
  const size_t groups = (count + 7) / 8;
  alignas(64) uint64_t words[kMaxPackedCodes / 8 + 8];
  for (size_t g = 0; g < groups; g += hn::Lanes(d)) {
    auto x = hn::BitCast(d, hn::LoadU(d8, codes + g * 8));
    x = Join<8, kBits>(d, x);
    x = Join<16, 2 * kBits>(d, x);
    x = Join<32, 4 * kBits>(d, x);
    hn::StoreU(x, d, words + g);
  }
  size_t g = 0;
  for (; g < groups && end - out >= 8; ++g, out += kBits) memcpy(out, &words[g], 8);
  for (; g < groups; ++g, out += kBits) {
    const size_t room = static_cast<size_t>(end - out);
    memcpy(out, &words[g], room < kBits ? room : kBits);
  }
}

// Unpacks `count` codes; reads no byte at or past `end`. Writes whole vectors: `codes` has room for
// count rounded up to 64.
// \pre count <= kMaxPackedCodes and `in` holds that many
template <int kBits>
HWY_INLINE void Unpack(const uint8_t* in, const uint8_t* end, size_t count, uint8_t* codes) {
  const hn::ScalableTag<uint64_t> d;
  const hn::Repartition<uint8_t, decltype(d)> d8;
  const size_t groups = (count + 7) / 8;
  alignas(64) uint64_t words[kMaxPackedCodes / 8 + 8];
  size_t g = 0;
  for (; g < groups && end - in >= 8; ++g, in += kBits) memcpy(&words[g], in, 8);
  for (; g < groups; ++g, in += kBits) {
    words[g] = 0;
    const size_t left = static_cast<size_t>(end - in);
    memcpy(&words[g], in, left < kBits ? left : kBits);
  }
  for (; g % 8 != 0; ++g) words[g] = 0;
  for (g = 0; g < groups; g += hn::Lanes(d)) {
    auto x = hn::LoadU(d, words + g);
    x = Split<32, 4 * kBits>(d, x);
    x = Split<16, 2 * kBits>(d, x);
    x = Split<8, kBits>(d, x);
    hn::StoreU(hn::BitCast(d8, x), d8, codes + g * 8);
  }
}

HWY_INLINE void PackCodes(int bits, const uint8_t* codes, size_t count, uint8_t* out,
                          const uint8_t* end) {
  switch (bits) {
    case 1:
      return Pack<1>(codes, count, out, end);
    case 2:
      return Pack<2>(codes, count, out, end);
    case 3:
      return Pack<3>(codes, count, out, end);
    case 4:
      return Pack<4>(codes, count, out, end);
    case 5:
      return Pack<5>(codes, count, out, end);
    case 6:
      return Pack<6>(codes, count, out, end);
    default:
      return Pack<7>(codes, count, out, end);
  }
}

HWY_INLINE void UnpackCodes(int bits, const uint8_t* in, const uint8_t* end, size_t count,
                            uint8_t* codes) {
  switch (bits) {
    case 1:
      return Unpack<1>(in, end, count, codes);
    case 2:
      return Unpack<2>(in, end, count, codes);
    case 3:
      return Unpack<3>(in, end, count, codes);
    case 4:
      return Unpack<4>(in, end, count, codes);
    case 5:
      return Unpack<5>(in, end, count, codes);
    case 6:
      return Unpack<6>(in, end, count, codes);
    default:
      return Unpack<7>(in, end, count, codes);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice
HWY_AFTER_NAMESPACE();

#endif  // per target
