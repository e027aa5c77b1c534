// Per-target: the L2-norm quantiser (QSGD). Per bucket, with s = 2^(b-1) - 1,
//     norm  = sqrt(sum x^2)
//     level = min(round(|x| * (s / norm)), s)
//     value = sign(x) * norm * (level * (1 / s))
// A code is the level in its low b - 1 bits and the sign in its top bit.
#if defined(SLUICE_CODEC_L2NORM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_CODEC_L2NORM_INL_H_
#undef SLUICE_CODEC_L2NORM_INL_H_
#else
#define SLUICE_CODEC_L2NORM_INL_H_
#endif

#include "comm/codec/bucket_sums-inl.h"
#include "comm/codec/rounding-inl.h"
#include "comm/codec/sign_magnitude-inl.h"
#include "comm/codec/vector_io-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sluice {
namespace HWY_NAMESPACE {

class L2Norm {
 public:
  static constexpr size_t kScaleBytes = 4;
  static constexpr bool kMayBeStochastic = true;

  using Summary = BucketPower;

  static HWY_INLINE Summary Summarise(const float* in, size_t n) { return PowerOf(in, n); }

  L2Norm(const Summary& summary, int bits)
      : L2Norm(bits, ScaleOrNaN(__builtin_sqrt(summary.squares))) {}
  L2Norm(const uint8_t* scale, int bits) : L2Norm(bits, 0) { memcpy(&norm_, scale, 4); }

  void Write(uint8_t* scale) const { memcpy(scale, &norm_, 4); }

  bool HasLevels() const { return norm_ > 0; }
  float step() const { return norm_ * inverse_top_; }
  float top() const { return top_; }

  HWY_INLINE FloatVec Position(FloatVec x) const { return ruler_.Measure(x); }
  HWY_INLINE IntVec Code(FloatVec x, IntVec level) const {
    return hn::Or(level, SignCode(x, sign_bit_));
  }
  HWY_INLINE IntVec Nearest(FloatVec x) const { return Code(x, RoundToNearest(Position(x), top_)); }
  HWY_INLINE FloatVec Value(IntVec code) const {
    const FloatTag d;
    const IntVec level = hn::And(code, hn::Set(IntTag(), level_mask_));
    const FloatVec fraction = hn::Mul(hn::ConvertTo(d, level), hn::Set(d, inverse_top_));
    return WithSign(hn::Mul(hn::Set(d, norm_), fraction), code, sign_bit_);
  }

 private:
  L2Norm(int bits, float norm)
      : norm_(norm),
        level_mask_((1 << (bits - 1)) - 1),
        sign_bit_(bits - 1),
        top_(static_cast<float>(level_mask_)),
        inverse_top_(1.0f / top_),
        ruler_(top_, norm) {}

  float norm_;
  int level_mask_;
  int sign_bit_;
  float top_;
  float inverse_top_;
  Ruler ruler_;  // of the encoder
};

}  // namespace HWY_NAMESPACE
}  // namespace sluice
HWY_AFTER_NAMESPACE();

#endif  // per target
