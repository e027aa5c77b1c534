// Per-target: the max-min quantiser (CGX). Per bucket
//     unit  = (max - min) / (2^b - 1)
//     level = min(round((x - min) / unit), 2^b - 1)
//     value = min + unit * level
#if defined(SLUICE_CODEC_MAXMIN_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_CODEC_MAXMIN_INL_H_
#undef SLUICE_CODEC_MAXMIN_INL_H_
#else
#define SLUICE_CODEC_MAXMIN_INL_H_
#endif

#include <float.h>

#include "comm/codec/rounding-inl.h"
#include "comm/codec/vector_io-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sluice {
namespace HWY_NAMESPACE {

// Least and greatest value of a bucket; `finite` is false when some value is not.
struct Extremes {
  float min;
  float max;
  bool finite;
};

class MaxMin {
 public:
  static constexpr size_t kScaleBytes = 8;
  static constexpr bool kMayBeStochastic = true;

  using Summary = Extremes;  // of a bucket, whatever the number of bits

  static HWY_INLINE Summary Summarise(const float* in, size_t n) {
    const FloatTag d;
    // Where there are whole vectors, the last one overlaps: a value counted twice changes no
    // extreme.
    FloatVec min0, max0, sum0, min1, max1, sum1;
    if (n < kLanes) {
      float buffer[kLanes];
      for (size_t i = 0; i < kLanes; ++i) buffer[i] = in[i < n ? i : 0];
      min0 = max0 = sum0 = min1 = max1 = sum1 = hn::LoadU(d, buffer);
    } else {
      min0 = max0 = sum0 = hn::LoadU(d, in);
      min1 = max1 = sum1 = hn::LoadU(d, in + n - kLanes);
      size_t i = kLanes;
      for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
        const FloatVec x0 = hn::LoadU(d, in + i);
        const FloatVec x1 = hn::LoadU(d, in + i + kLanes);
        min0 = hn::Min(min0, x0);
        max0 = hn::Max(max0, x0);
        sum0 = hn::Add(sum0, x0);
        min1 = hn::Min(min1, x1);
        max1 = hn::Max(max1, x1);
        sum1 = hn::Add(sum1, x1);
      }
      if (i + kLanes <= n) {
        const FloatVec x = hn::LoadU(d, in + i);
        min0 = hn::Min(min0, x);
        max0 = hn::Max(max0, x);
        sum0 = hn::Add(sum0, x);
      }
    }
    // Min and Max may drop a NaN, a sum cannot; and finite values never add up to a NaN.
    const bool nan = !hn::AllFalse(d, hn::Or(hn::IsNaN(sum0), hn::IsNaN(sum1)));
    // + 0: a minimum of -0 becomes +0, whichever came first.
    const float min = hn::GetLane(hn::MinOfLanes(d, hn::Min(min0, min1))) + 0.0f;
    const float max = hn::GetLane(hn::MaxOfLanes(d, hn::Max(max0, max1))) + 0.0f;
    return {min, max, !nan && max - min <= FLT_MAX};
  }

  MaxMin(const Summary& summary, int bits) {
    const float top = static_cast<float>((1 << bits) - 1);
    const float range = summary.max - summary.min;
    unit_ = range / top;
    min_ = summary.min;
    // Below the normal numbers the quotient may have lost most of its bits: never round it down.
    if (unit_ < FLT_MIN && unit_ * top < range) unit_ += 0x1p-149f;
    if (!summary.finite) unit_ = min_ = __builtin_nanf("");
    top_ = top;
  }

  MaxMin(const uint8_t* scale, int bits) : top_(static_cast<float>((1 << bits) - 1)) {
    memcpy(&unit_, scale, 4);
    memcpy(&min_, scale + 4, 4);
  }

  void Write(uint8_t* scale) const {
    memcpy(scale, &unit_, 4);
    memcpy(scale + 4, &min_, 4);
  }

  // False when all codes are 0: a constant bucket, or one that holds a NaN or an infinity.
  bool HasLevels() const { return unit_ > 0; }
  float step() const { return unit_; }
  float top() const { return top_; }

  // Where x lies on the axis of levels. \pre HasLevels()
  HWY_INLINE FloatVec Position(FloatVec x) const {
    const FloatTag d;
    return hn::Div(hn::Sub(x, hn::Set(d, min_)), hn::Set(d, unit_));
  }
  HWY_INLINE IntVec Code(FloatVec, IntVec level) const { return level; }
  HWY_INLINE IntVec Nearest(FloatVec x) const { return RoundToNearest(Position(x), top_); }
  HWY_INLINE FloatVec Value(IntVec code) const {
    const FloatTag d;
    return hn::Add(hn::Set(d, min_), hn::Mul(hn::Set(d, unit_), hn::ConvertTo(d, code)));
  }

 private:
  float unit_;
  float min_;
  float top_;
};

}  // namespace HWY_NAMESPACE
}  // namespace sluice
HWY_AFTER_NAMESPACE();

#endif  // per target
