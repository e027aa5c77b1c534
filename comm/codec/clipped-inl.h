// Per-target: the clipped quantiser, a symmetric grid without zero (mid-rise). Per bucket, with
// t = 2^(b-1) - 1,
//     step  = c * sqrt(mean x^2), c the best of a uniform quantiser of normal values
//     level = min(floor(|x| * (1 / step)), t)
//     value = sign(x) * (level + 0.5) * step
// What lies beyond the outermost level clips to it. A code is the level in its low b - 1 bits and
// the sign bit of x in its top bit. Source of c: Max 1960, "Quantizing for minimum distortion".
#if defined(SLUICE_CODEC_CLIPPED_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_CODEC_CLIPPED_INL_H_
#undef SLUICE_CODEC_CLIPPED_INL_H_
#else
#define SLUICE_CODEC_CLIPPED_INL_H_
#endif

#include "comm/codec/bucket_sums-inl.h"
#include "comm/codec/sign_magnitude-inl.h"
#include "comm/codec/vector_io-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sluice {
namespace HWY_NAMESPACE {

class Clipped {
 public:
  static constexpr size_t kScaleBytes = 4;
  static constexpr bool kMayBeStochastic = false;

  using Summary = BucketPower;

  static HWY_INLINE Summary Summarise(const float* in, size_t n) { return PowerOf(in, n); }

  Clipped(const Summary& summary, int bits)
      : Clipped(bits, ScaleOrNaN(StepOfUnitRms(bits) * summary.Rms(), Top(bits) + 0.5f)) {}
  Clipped(const uint8_t* scale, int bits) : Clipped(bits, 0) { memcpy(&step_, scale, 4); }

  void Write(uint8_t* scale) const { memcpy(scale, &step_, 4); }

  bool HasLevels() const { return step_ > 0; }
  float step() const { return step_; }

  HWY_INLINE IntVec Nearest(FloatVec x) const {
    const FloatVec position = hn::Min(ruler_.Measure(x), hn::Set(FloatTag(), top_));
    return hn::Or(hn::ConvertTo(IntTag(), position), SignCode(x, sign_bit_));
  }
  HWY_INLINE FloatVec Value(IntVec code) const {
    const FloatTag d;
    const IntVec level = hn::And(code, hn::Set(IntTag(), level_mask_));
    const FloatVec position = hn::Add(hn::ConvertTo(d, level), hn::Set(d, 0.5f));
    return WithSign(hn::Mul(position, hn::Set(d, step_)), code, sign_bit_);
  }

 private:
  static constexpr double StepOfUnitRms(int bits) {
    return bits == 1 ? 1.596 : bits == 2 ? 0.9957 : bits == 3 ? 0.5860 : 0.3352;
  }
  static constexpr float Top(int bits) { return static_cast<float>((1 << (bits - 1)) - 1); }

  Clipped(int bits, float step)
      : step_(step),
        level_mask_((1 << (bits - 1)) - 1),
        sign_bit_(bits - 1),
        top_(Top(bits)),
        ruler_(1.0f, step) {}

  float step_;
  int level_mask_;
  int sign_bit_;
  float top_;
  Ruler ruler_;  // of the encoder
};

}  // namespace HWY_NAMESPACE
}  // namespace sluice
HWY_AFTER_NAMESPACE();

#endif  // per target
