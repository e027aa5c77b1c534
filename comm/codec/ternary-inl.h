// Per-target: the ternary quantiser. Per bucket
//     scale = 1.224 * sqrt(mean x^2)
//     value = 0 where |x| < scale / 2, else scale with the sign of x
// A code is 0, 1 for the scale or 3 for its negative: whether it is not zero, below its sign. 1.224
// is the best of three evenly spaced levels for normal values (Max 1960, "Quantizing for minimum
// distortion").
#if defined(SLUICE_CODEC_TERNARY_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_CODEC_TERNARY_INL_H_
#undef SLUICE_CODEC_TERNARY_INL_H_
#else
#define SLUICE_CODEC_TERNARY_INL_H_
#endif

#include "comm/codec/bucket_sums-inl.h"
#include "comm/codec/sign_magnitude-inl.h"
#include "comm/codec/vector_io-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sluice {
namespace HWY_NAMESPACE {

class Ternary {
 public:
  static constexpr size_t kScaleBytes = 4;
  static constexpr bool kMayBeStochastic = false;

  using Summary = BucketPower;

  static HWY_INLINE Summary Summarise(const float* in, size_t n) { return PowerOf(in, n); }

  Ternary(const Summary& summary, int) : scale_(ScaleOrNaN(1.224 * summary.Rms())) {}
  Ternary(const uint8_t* scale, int) { memcpy(&scale_, scale, 4); }

  void Write(uint8_t* scale) const { memcpy(scale, &scale_, 4); }

  bool HasLevels() const { return scale_ > 0; }
  float step() const { return scale_; }

  HWY_INLINE IntVec Nearest(FloatVec x) const {
    const FloatTag d;
    const FloatVec far = hn::VecFromMask(d, hn::Ge(hn::Abs(x), hn::Set(d, 0.5f * scale_)));
    const IntVec nonzero = hn::Or(SignCode(x, 1), hn::Set(IntTag(), 1));
    return hn::And(hn::BitCast(IntTag(), far), nonzero);
  }
  HWY_INLINE FloatVec Value(IntVec code) const {
    const FloatTag d;
    // A product, not a mask: a scale of NaN makes zeros NaN too.
    const IntVec nonzero = hn::And(code, hn::Set(IntTag(), 1));
    return WithSign(hn::Mul(hn::ConvertTo(d, nonzero), hn::Set(d, scale_)), code, 1);
  }

 private:
  float scale_;
};

}  // namespace HWY_NAMESPACE
}  // namespace sluice
HWY_AFTER_NAMESPACE();

#endif  // per target
