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
  const IntTag di;
  const FloatVec capped = hn::Min(position, hn::Set(d, top));
  const IntVec down = hn::ConvertTo(di, capped);
  const FloatVec fraction = hn::Sub(capped, hn::ConvertTo(d, down));
  // A true lane is -1 as an integer. Nothing is above the top: its fraction is 0.
  return hn::Sub(down, hn::BitCast(di, hn::VecFromMask(d, hn::Lt(uniform, fraction))));
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice
HWY_AFTER_NAMESPACE();

#endif  // per target
