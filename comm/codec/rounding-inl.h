// Per-target: from a position on the axis of levels to a level, for positions >= 0.
#if defined(SLUICE_CODEC_ROUNDING_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_CODEC_ROUNDING_INL_H_
#undef SLUICE_CODEC_ROUNDING_INL_H_
#else
#define SLUICE_CODEC_ROUNDING_INL_H_
#endif

#include "comm/codec/vector_io-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sluice {
namespace HWY_NAMESPACE {

// min(floor(position + 0.5), top), in fp32 like all of it.
HWY_INLINE IntVec RoundToNearest(FloatVec position, float top) {
  const FloatTag d;
  return hn::ConvertTo(IntTag(), hn::Min(hn::Add(position, hn::Set(d, 0.5f)), hn::Set(d, top)));
}

// Up when `uniform` is below the fraction: the expectation is `position`, and a whole one stays.
HWY_INLINE IntVec RoundAtRandom(FloatVec position, FloatVec uniform, float top) {
  const FloatTag d;
  const FloatVec capped = hn::Min(position, hn::Set(d, top));
  const FloatVec down = hn::ConvertTo(d, hn::ConvertTo(IntTag(), capped));
  const FloatVec up = hn::IfThenElseZero(hn::Lt(uniform, hn::Sub(capped, down)), hn::Set(d, 1.0f));
  return hn::ConvertTo(IntTag(), hn::Add(down, up));
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice
HWY_AFTER_NAMESPACE();

#endif  // per target
