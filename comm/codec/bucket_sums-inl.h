// Per-target: sums over a bucket that come out the same on every machine.
#if defined(SLUICE_CODEC_BUCKET_SUMS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_CODEC_BUCKET_SUMS_INL_H_
#undef SLUICE_CODEC_BUCKET_SUMS_INL_H_
#else
#define SLUICE_CODEC_BUCKET_SUMS_INL_H_
#endif

#include "comm/codec/vector_io-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sluice {
namespace HWY_NAMESPACE {

// A bucket's sum of squares: infinite or NaN when some value is not finite, and only then.
struct BucketPower {
  double squares;
  size_t count;
  double Rms() const { return __builtin_sqrt(squares / static_cast<double>(count)); }
};

// A bucket's sum of |x|: infinite or NaN as above.
struct BucketMagnitude {
  double sum;
  size_t count;
  double Mean() const { return sum / static_cast<double>(count); }
};

struct Square {
  template <class D, class V>
  HWY_INLINE V operator()(D, V x) const {
    return hn::Mul(x, x);
  }
};

struct Magnitude {
  template <class D, class V>
  HWY_INLINE V operator()(D, V x) const {
    return hn::Abs(x);
  }
};

using DoubleTag = hn::ScalableTag<double>;

// kCount vectors of partial sums that stay in registers: a loop over an array of them would not be
// unrolled at -O2 and go through memory.
template <size_t kCount>
struct PartialSums {
  hn::Vec<DoubleTag> first;
  PartialSums<kCount - 1> others;

  HWY_INLINE PartialSums() : first(hn::Zero(DoubleTag())) {}

  template <class Term>
  HWY_INLINE void Add(const float* in, Term term) {
    const DoubleTag d64;
    const hn::Rebind<float, DoubleTag> d32;
    first = hn::Add(first, term(d64, hn::PromoteTo(d64, hn::LoadU(d32, in))));
    others.Add(in + hn::MaxLanes(d64), term);
  }
  HWY_INLINE void Store(double* out) const {
    hn::StoreU(first, DoubleTag(), out);
    others.Store(out + hn::MaxLanes(DoubleTag()));
  }
};

template <>
struct PartialSums<0> {
  template <class Term>
  HWY_INLINE void Add(const float*, Term) {}
  HWY_INLINE void Store(double*) const {}
};

// In double precision: squares neither overflow nor vanish, and are exact. Sixteen partial sums
// whatever the vector width, so that every machine gets the same sum.
template <class Term>
HWY_INLINE double SumOver(const float* in, size_t n, Term term) {
  constexpr size_t kSums = 16;
  PartialSums<kSums / hn::MaxLanes(DoubleTag())> sums;
  size_t i = 0;
  for (; i + kSums <= n; i += kSums) sums.Add(in + i, term);
  if (i < n) {
    float buffer[kSums] = {};
    memcpy(buffer, in + i, (n - i) * sizeof(float));
    sums.Add(buffer, term);
  }
  double parts[kSums];
  sums.Store(parts);
  for (size_t width = kSums / 2; width > 0; width /= 2) {
    for (size_t k = 0; k < width; ++k) parts[k] += parts[k + width];
  }
  return parts[0];
}

HWY_INLINE BucketPower PowerOf(const float* in, size_t n) { return {SumOver(in, n, Square()), n}; }

HWY_INLINE BucketMagnitude MagnitudeOf(const float* in, size_t n) {
  return {SumOver(in, n, Magnitude()), n};
}

// `scale` as fp32, or NaN when it or `largest`, its multiple that a bucket may decode to, is not
// finite there.
HWY_INLINE float ScaleOrNaN(double scale, float largest = 1.0f) {
  const float rounded = static_cast<float>(scale);
  return rounded * largest <= 0x1.fffffep127f ? rounded : __builtin_nanf("");
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice
HWY_AFTER_NAMESPACE();

#endif  // per target
