// Per-target: the sign quantiser (EF-signSGD). Per bucket
//     scale = mean |x|
//     value = scale or -scale, by the sign bit of x: +0 becomes scale and -0 becomes -scale
// A code is the sign bit.
#if defined(SLUICE_CODEC_SIGN_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_CODEC_SIGN_INL_H_
#undef SLUICE_CODEC_SIGN_INL_H_
#else
#define SLUICE_CODEC_SIGN_INL_H_
#endif

#include "comm/codec/bucket_sums-inl.h"
#include "comm/codec/sign_magnitude-inl.h"
#include "comm/codec/vector_io-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sluice {
namespace HWY_NAMESPACE {

class Sign {
 public:
  static constexpr size_t kScaleBytes = 4;
  static constexpr bool kMayBeStochastic = false;

  using Summary = BucketMagnitude;

  static HWY_INLINE Summary Summarise(const float* in, size_t n) { return MagnitudeOf(in, n); }

  Sign(const Summary& summary, int) : scale_(ScaleOrNaN(summary.Mean())) {}
  Sign(const uint8_t* scale, int) { memcpy(&scale_, scale, 4); }

  void Write(uint8_t* scale) const { memcpy(scale, &scale_, 4); }

  bool HasLevels() const { return scale_ > 0; }
  float step() const { return scale_; }

  HWY_INLINE IntVec Nearest(FloatVec x) const { return SignCode(x, 0); }
  HWY_INLINE FloatVec Value(IntVec code) const {
    return WithSign(hn::Set(FloatTag(), scale_), code, 0);
  }

 private:
  float scale_;
};

}  // namespace HWY_NAMESPACE
}  // namespace sluice
HWY_AFTER_NAMESPACE();

#endif  // per target
