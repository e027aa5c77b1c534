// Per-target: codes that hold a sign bit above a level, and the level of a magnitude.
#if defined(SLUICE_CODEC_SIGN_MAGNITUDE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_CODEC_SIGN_MAGNITUDE_INL_H_
#undef SLUICE_CODEC_SIGN_MAGNITUDE_INL_H_
#else
#define SLUICE_CODEC_SIGN_MAGNITUDE_INL_H_
#endif

#include "comm/codec/vector_io-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sluice {
namespace HWY_NAMESPACE {

// The sign bit of each float, at bit `place` of a code.
HWY_INLINE IntVec SignCode(FloatVec x, int place) {
  const hn::RebindToUnsigned<FloatTag> du;
  const auto sign = hn::ShiftRight<31>(hn::BitCast(du, x));
  return hn::BitCast(IntTag(), hn::ShiftLeftSame(sign, place));
}

// `magnitude` with the sign that bit `place` of a code says. \pre the bits above it are 0
HWY_INLINE FloatVec WithSign(FloatVec magnitude, IntVec code, int place) {
  const FloatTag d;
  const hn::RebindToUnsigned<FloatTag> du;
  const auto sign = hn::ShiftLeft<31>(hn::ShiftRightSame(hn::BitCast(du, code), place));
  return hn::Or(magnitude, hn::BitCast(d, sign));
}

// |x| * (factor / unit) without a division per value. Where the quotient could exceed fp32 the
// values are first raised by a power of two, which is exact.
class Ruler {
 public:
  Ruler(float factor, float unit)
      : lift_(unit < 0x1p-64f ? 0x1p64f : 1.0f), inverse_(factor / (unit * lift_)) {}

  HWY_INLINE FloatVec Measure(FloatVec x) const {
    const FloatTag d;
    return hn::Mul(hn::Mul(hn::Abs(x), hn::Set(d, lift_)), hn::Set(d, inverse_));
  }

 private:
  float lift_;
  float inverse_;
};

}  // namespace HWY_NAMESPACE
}  // namespace sluice
HWY_AFTER_NAMESPACE();

#endif  // per target
