#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "comm/codec/error_kernels.cc"
// clang-format off
#include "hwy/foreach_target.h"  // compiles this file once per instruction set: stays first
// clang-format on

#include "comm/codec/bucket_sums-inl.h"
#include "comm/codec/clipped-inl.h"
#include "comm/codec/kernels.h"
#include "comm/codec/l2norm-inl.h"
#include "comm/codec/maxmin-inl.h"
#include "comm/codec/sign-inl.h"
#include "comm/codec/ternary-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace sluice {
namespace HWY_NAMESPACE {

// A power of two that brings errors of the size of `step` near one, so that their squares neither
// vanish nor overflow in fp32.
HWY_INLINE float ScaleFor(float step) {
  const int exponent = step > 0 ? __builtin_ilogbf(step) : 0;
  const int limited = exponent < -120 ? -120 : exponent > 120 ? 120 : exponent;
  return __builtin_ldexpf(1.0f, -limited);
}

// What rounding makes of one vector: the error `low` or, with probability `fraction`, `high`.
// Rounding to nearest has `low` alone.
struct Errors {
  FloatVec low;
  FloatVec high;
  FloatVec fraction;
};

template <bool kStochastic, class Q>
HWY_INLINE Errors ErrorsOf(const Q& bucket, FloatVec x) {
  const FloatTag d;
  if constexpr (kStochastic) {
    const FloatVec top = hn::Set(d, bucket.top());
    const FloatVec capped = hn::Min(bucket.Position(x), top);
    const IntVec down = hn::ConvertTo(IntTag(), capped);
    const FloatVec below = hn::ConvertTo(d, down);
    const IntVec up = hn::ConvertTo(IntTag(), hn::Min(hn::Add(below, hn::Set(d, 1.0f)), top));
    return {hn::Sub(x, bucket.Value(bucket.Code(x, down))),
            hn::Sub(x, bucket.Value(bucket.Code(x, up))), hn::Sub(capped, below)};
  } else {
    const FloatVec error = hn::Sub(x, bucket.Value(bucket.Nearest(x)));
    return {error, error, hn::Zero(d)};
  }
}

// Expected squared error of each lane, times the square of `scale`.
template <bool kStochastic>
HWY_INLINE FloatVec Squared(const Errors& errors, FloatVec scale) {
  const FloatVec low = hn::Mul(errors.low, scale);
  const FloatVec low_square = hn::Mul(low, low);
  if (!kStochastic) return low_square;
  const FloatVec high = hn::Mul(errors.high, scale);
  const FloatVec high_square = hn::Mul(high, high);
  return hn::Add(low_square, hn::Mul(errors.fraction, hn::Sub(high_square, low_square)));
}

// The sum in double precision, for buckets whose errors are tiny beside their step.
template <bool kStochastic, class Q>
HWY_INLINE double PreciseBucketError(const Q& bucket, const float* in, size_t n) {
  const FloatTag d;
  double total = 0;
  for (size_t i = 0; i < n; i += kLanes) {
    const size_t count = n - i < kLanes ? n - i : kLanes;
    const Errors errors = ErrorsOf<kStochastic>(bucket, LoadFirst(in + i, count));
    float low[kLanes];
    float high[kLanes];
    float fraction[kLanes];
    hn::StoreU(errors.low, d, low);
    hn::StoreU(errors.high, d, high);
    hn::StoreU(errors.fraction, d, fraction);
    for (size_t k = 0; k < count; ++k) {
      const double low_square = static_cast<double>(low[k]) * low[k];
      const double high_square = static_cast<double>(high[k]) * high[k];
      total += low_square + fraction[k] * (high_square - low_square);
    }
  }
  return total;
}

template <bool kStochastic, class Q>
HWY_INLINE double BucketError(const Q& bucket, const float* in, size_t n) {
  constexpr size_t kBlock = 1024;  // elements per fp32 sum
  const FloatTag d;
  const float scale = ScaleFor(bucket.step());
  const FloatVec scales = hn::Set(d, scale);
  double total = 0;
  for (size_t begin = 0; begin < n; begin += kBlock) {
    const size_t end = begin + kBlock < n ? begin + kBlock : n;
    FloatVec sum = hn::Zero(d);
    size_t i = begin;
    for (; i + kLanes <= end; i += kLanes) {
      const Errors errors = ErrorsOf<kStochastic>(bucket, hn::LoadU(d, in + i));
      sum = hn::Add(sum, Squared<kStochastic>(errors, scales));
    }
    if (i < end) {
      const Errors errors = ErrorsOf<kStochastic>(bucket, LoadFirst(in + i, end - i));
      float lanes[kLanes];
      hn::StoreU(Squared<kStochastic>(errors, scales), d, lanes);
      for (size_t k = 0; k < end - i; ++k) total += lanes[k];
    }
    total += hn::GetLane(hn::SumOfLanes(d, sum));
  }
  // So small a sum may have lost squares that vanished in fp32: an outlier makes the step huge, and
  // what it wipes out is the error.
  if (total < static_cast<double>(n) * 0x1p-100) {
    return PreciseBucketError<kStochastic>(bucket, in, n);
  }
  return total / (static_cast<double>(scale) * scale);
}

template <class Q>
HWY_INLINE double ErrorWithoutLevels(const Q& bucket, const float* in, size_t n) {
  float values[kLanes];
  hn::StoreU(bucket.Value(hn::Zero(IntTag())), FloatTag(), values);
  double total = 0;
  for (size_t i = 0; i < n; ++i) {
    const double error = static_cast<double>(in[i]) - values[0];
    total += error * error;
  }
  return total;
}

template <class Q>
HWY_INLINE double ConfigError(const typename Q::Summary& summary, const CodecConfig& config,
                              const float* in, size_t n) {
  const Q bucket(summary, config.bits);
  if (!bucket.HasLevels()) return ErrorWithoutLevels(bucket, in, n);
  if constexpr (Q::kMayBeStochastic) {
    if (config.stochastic) return BucketError<true>(bucket, in, n);
  }
  return BucketError<false>(bucket, in, n);
}

// The summaries that some quantisers need; the others stay unset.
class Summaries {
 public:
  Summaries(const CodecConfig* configs, size_t count) {
    for (size_t k = 0; k < count; ++k) {
      const CodecKind kind = configs[k].kind;
      extremes_needed_ |= kind == CodecKind::kMaxMin;
      magnitude_needed_ |= kind == CodecKind::kSign;
      power_needed_ |= kind != CodecKind::kMaxMin && kind != CodecKind::kSign;
    }
  }

  HWY_INLINE void Summarise(const float* in, size_t n) {
    if (extremes_needed_) extremes_ = MaxMin::Summarise(in, n);
    if (magnitude_needed_) magnitude_ = MagnitudeOf(in, n);
    if (power_needed_) power_ = PowerOf(in, n);
  }

  double Error(const CodecConfig& config, const float* in, size_t n) const {
    switch (config.kind) {
      case CodecKind::kMaxMin:
        return ConfigError<MaxMin>(extremes_, config, in, n);
      case CodecKind::kL2Norm:
        return ConfigError<L2Norm>(power_, config, in, n);
      case CodecKind::kSign:
        return ConfigError<Sign>(magnitude_, config, in, n);
      case CodecKind::kClipped:
        return ConfigError<Clipped>(power_, config, in, n);
      case CodecKind::kTernary:
        return ConfigError<Ternary>(power_, config, in, n);
      default:
        return __builtin_nan("");  // no quantiser
    }
  }

 private:
  bool extremes_needed_ = false;
  bool magnitude_needed_ = false;
  bool power_needed_ = false;
  Extremes extremes_ = {};
  BucketMagnitude magnitude_ = {};
  BucketPower power_ = {};
};

void AddQuantiserErrorsHere(const float* in, size_t n, const CodecConfig* configs, size_t count,
                            double* sums) {
  const size_t bucket_size = configs[0].bucket_size;
  Summaries summaries(configs, count);
  for (size_t begin = 0; begin < n; begin += bucket_size) {
    const size_t size = n - begin < bucket_size ? n - begin : bucket_size;
    summaries.Summarise(in + begin, size);
    for (size_t k = 0; k < count; ++k) sums[k] += summaries.Error(configs[k], in + begin, size);
  }
}

double SquaredNormHere(const float* in, size_t n) { return SumOver(in, n, Square()); }

}  // namespace HWY_NAMESPACE
}  // namespace sluice
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sluice {

HWY_EXPORT(AddQuantiserErrorsHere);
HWY_EXPORT(SquaredNormHere);

void AddQuantiserErrors(const float* in, size_t n, const CodecConfig* configs, size_t count,
                        double* sums) {
  HWY_DYNAMIC_DISPATCH(AddQuantiserErrorsHere)(in, n, configs, count, sums);
}

double SquaredNorm(const float* in, size_t n) {
  return HWY_DYNAMIC_DISPATCH(SquaredNormHere)(in, n);
}

}  // namespace sluice
#endif  // HWY_ONCE
