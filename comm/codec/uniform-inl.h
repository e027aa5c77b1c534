// Per-target: uniform numbers for stochastic rounding.
#if defined(SLUICE_CODEC_UNIFORM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_CODEC_UNIFORM_INL_H_
#undef SLUICE_CODEC_UNIFORM_INL_H_
#else
#define SLUICE_CODEC_UNIFORM_INL_H_
#endif

#include "comm/codec/vector_io-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sluice {
namespace HWY_NAMESPACE {

using WordTag = hn::Repartition<uint64_t, FloatTag>;
using WordVec = hn::Vec<WordTag>;

// x * kFactor modulo 2^64 out of 32-bit products.
template <uint64_t kFactor>
HWY_INLINE WordVec MultiplyWords(WordVec x) {
  const hn::Repartition<uint32_t, FloatTag> d32;
  const auto factor_low = hn::Set(d32, static_cast<uint32_t>(kFactor));
  const auto factor_high = hn::Set(d32, static_cast<uint32_t>(kFactor >> 32));
  const auto low = hn::BitCast(d32, x);
  const auto high = hn::BitCast(d32, hn::ShiftRight<32>(x));
  const WordVec middle = hn::Add(hn::MulEven(high, factor_low), hn::MulEven(low, factor_high));
  return hn::Add(hn::MulEven(low, factor_low), hn::ShiftLeft<32>(middle));
}

using HalfTag = hn::Rebind<uint16_t, FloatTag>;  // sixteen bits per float lane

// draws[i] is the draw of element first + i, i < count: element e gets bits 16 (e mod 4) to
// 16 (e mod 4) + 15 of RandomKey::Bits(e / 4). Fills whole vectors: `draws` has room for
// count + 2 kLanes.
// \pre first is a multiple of 4
HWY_INLINE void FillDraws(uint64_t key, uint64_t first, size_t count, uint16_t* draws) {
  constexpr uint64_t kGolden = 0x9e3779b97f4a7c15u;  // see MixBits in base/random.h
  constexpr size_t kWords = kLanes / 2;
  const WordTag d64;
  const hn::Repartition<uint16_t, FloatTag> d16;
  const WordVec stride = hn::Set(d64, kGolden * kWords);
  uint64_t first_states[kWords];
  for (size_t i = 0; i < kWords; ++i) first_states[i] = key + (first / 4 + i + 1) * kGolden;
  WordVec state = hn::LoadU(d64, first_states);
  for (size_t i = 0; i < count; i += 2 * kLanes) {
    WordVec x = state;
    x = MultiplyWords<0xbf58476d1ce4e5b9u>(hn::Xor(x, hn::ShiftRight<30>(x)));
    x = MultiplyWords<0x94d049bb133111ebu>(hn::Xor(x, hn::ShiftRight<27>(x)));
    x = hn::Xor(x, hn::ShiftRight<31>(x));
    hn::StoreU(hn::BitCast(d16, x), d16, draws + i);
    state = hn::Add(state, stride);
  }
}

// (draw + 0.5) / 2^16: uniform in (0, 1), one per float lane.
HWY_INLINE FloatVec LoadUniform(const uint16_t* draws) {
  const FloatTag d;
  const FloatVec whole = hn::ConvertTo(d, hn::PromoteTo(IntTag(), hn::LoadU(HalfTag(), draws)));
  return hn::Mul(hn::Add(whole, hn::Set(d, 0.5f)), hn::Set(d, 0x1p-16f));
}

HWY_INLINE FloatVec LoadFirstUniform(const uint16_t* draws, size_t count) {
  uint16_t buffer[kLanes] = {};
  memcpy(buffer, draws, count * sizeof(uint16_t));
  return LoadUniform(buffer);
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice
HWY_AFTER_NAMESPACE();

#endif  // per target
