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

// uniform[i] in [0, 1) for the elements first + i, i < count: 24 bits of the i-th half of the
// stream RandomKey::Bits, low half first. Fills whole vectors: `uniform` has room for count +
// kLanes. \pre first is even
HWY_INLINE void FillUniform(uint64_t key, uint64_t first, size_t count, float* uniform) {
  constexpr uint64_t kGolden = 0x9e3779b97f4a7c15u;  // see MixBits in base/random.h
  const WordTag d64;
  const FloatTag df;
  const IntTag di;
  const WordVec stride = hn::Set(d64, kGolden * (kLanes / 2));
  uint64_t first_states[kLanes / 2];
  for (size_t i = 0; i < kLanes / 2; ++i) first_states[i] = key + (first / 2 + i + 1) * kGolden;
  WordVec state = hn::LoadU(d64, first_states);
  for (size_t i = 0; i < count; i += kLanes) {
    WordVec x = state;
    x = MultiplyWords<0xbf58476d1ce4e5b9u>(hn::Xor(x, hn::ShiftRight<30>(x)));
    x = MultiplyWords<0x94d049bb133111ebu>(hn::Xor(x, hn::ShiftRight<27>(x)));
    x = hn::Xor(x, hn::ShiftRight<31>(x));
    const auto top24 = hn::ShiftRight<8>(hn::BitCast(hn::RebindToUnsigned<FloatTag>(), x));
    const FloatVec value = hn::ConvertTo(df, hn::BitCast(di, top24));
    hn::StoreU(hn::Mul(value, hn::Set(df, 0x1p-24f)), df, uniform + i);
    state = hn::Add(state, stride);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice
HWY_AFTER_NAMESPACE();

#endif  // per target
