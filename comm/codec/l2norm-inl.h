// Per-target: the L2-norm quantiser (QSGD). Per bucket, with s = 2^(b-1) - 1,
//     norm  = sqrt(sum x^2)
//     level = min(round(|x| / norm * s), s)
//     value = sign(x) * norm * (level * (1 / s))
// A code is the level in its low b - 1 bits and the sign in its top bit.
#if defined(SLUICE_CODEC_L2NORM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_CODEC_L2NORM_INL_H_
#undef SLUICE_CODEC_L2NORM_INL_H_
#else
#define SLUICE_CODEC_L2NORM_INL_H_
#endif

#include <float.h>

#include "comm/codec/vector_io-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sluice {
namespace HWY_NAMESPACE {

// The norm of a bucket: NaN when some value is not finite or the norm itself is too large.
struct BucketNorm {
  float norm;
};

class L2Norm {
 public:
  static constexpr size_t kScaleBytes = 4;

  using Summary = BucketNorm;

  // In double precision: squares neither overflow nor vanish, and are exact. Sixteen partial sums
  // whatever the vector width, so that every machine gets the same norm.
  static HWY_INLINE Summary Summarise(const float* in, size_t n) {
    const hn::ScalableTag<double> d64;
    const hn::Rebind<float, decltype(d64)> d32;
    constexpr size_t kWide = hn::MaxLanes(d64);
    constexpr size_t kSums = 16;
    hn::Vec<decltype(d64)> sums[kSums / kWide];
    for (size_t k = 0; k < kSums / kWide; ++k) sums[k] = hn::Zero(d64);
    for (size_t i = 0; i < n; i += kSums) {
      float buffer[kSums] = {};
      const float* block = in + i;
      if (n - i < kSums) {
        memcpy(buffer, block, (n - i) * sizeof(float));
        block = buffer;
      }
      for (size_t k = 0; k < kSums / kWide; ++k) {
        const auto x = hn::PromoteTo(d64, hn::LoadU(d32, block + k * kWide));
        sums[k] = hn::Add(sums[k], hn::Mul(x, x));
      }
    }
    double parts[kSums];
    for (size_t k = 0; k < kSums / kWide; ++k) hn::StoreU(sums[k], d64, parts + k * kWide);
    for (size_t width = kSums / 2; width > 0; width /= 2) {
      for (size_t k = 0; k < width; ++k) parts[k] += parts[k + width];
    }
    const float norm = static_cast<float>(__builtin_sqrt(parts[0]));
    return {norm <= FLT_MAX ? norm : __builtin_nanf("")};
  }

  L2Norm(const Summary& summary, int bits) : L2Norm(bits) { norm_ = summary.norm; }
  L2Norm(const uint8_t* scale, int bits) : L2Norm(bits) { memcpy(&norm_, scale, 4); }

  void Write(uint8_t* scale) const { memcpy(scale, &norm_, 4); }

  bool HasLevels() const { return norm_ > 0; }
  float step() const { return norm_ * inverse_top_; }
  float top() const { return top_; }

  HWY_INLINE FloatVec Position(FloatVec x) const {
    const FloatTag d;
    return hn::Mul(hn::Div(hn::Abs(x), hn::Set(d, norm_)), hn::Set(d, top_));
  }
  HWY_INLINE IntVec Code(FloatVec x, IntVec level) const {
    const hn::RebindToUnsigned<FloatTag> du;
    const auto sign = hn::ShiftRightSame(hn::BitCast(du, x), 31);
    return hn::Or(level, hn::BitCast(IntTag(), hn::ShiftLeftSame(sign, sign_bit_)));
  }
  HWY_INLINE FloatVec Value(IntVec code) const {
    const FloatTag d;
    const hn::RebindToUnsigned<FloatTag> du;
    const IntVec level = hn::And(code, hn::Set(IntTag(), level_mask_));
    const auto sign = hn::ShiftLeft<31>(hn::ShiftRightSame(hn::BitCast(du, code), sign_bit_));
    const FloatVec fraction = hn::Mul(hn::ConvertTo(d, level), hn::Set(d, inverse_top_));
    return hn::Or(hn::Mul(hn::Set(d, norm_), fraction), hn::BitCast(d, sign));
  }

 private:
  explicit L2Norm(int bits)
      : norm_(0),
        level_mask_((1 << (bits - 1)) - 1),
        sign_bit_(bits - 1),
        top_(static_cast<float>(level_mask_)),
        inverse_top_(1.0f / top_) {}

  float norm_;
  int level_mask_;
  int sign_bit_;
  float top_;
  float inverse_top_;
};

}  // namespace HWY_NAMESPACE
}  // namespace sluice
HWY_AFTER_NAMESPACE();

#endif  // per target
