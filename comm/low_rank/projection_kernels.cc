#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "comm/low_rank/projection_kernels.cc"
// clang-format off
#include "hwy/foreach_target.h"  // compiles this file once per instruction set: stays first
// clang-format on

#include "comm/low_rank/kernels.h"
#include "comm/low_rank/tile-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace sluice {
namespace HWY_NAMESPACE {

using DoubleTag = hn::ScalableTag<double>;
using DoubleVec = hn::Vec<DoubleTag>;
using HalfTag = hn::Rebind<float, DoubleTag>;  // as many floats as doubles fit a vector
constexpr size_t kDoubles = hn::MaxLanes(DoubleTag());

// Eight partial sums whatever the vector width.
constexpr size_t kPartial = 8;
constexpr size_t kPartialVecs = kPartial / kDoubles;

HWY_INLINE DoubleVec LoadDoubles(const float* in) {
  return hn::PromoteTo(DoubleTag(), hn::LoadU(HalfTag(), in));
}

template <size_t kColumns>
HWY_INLINE void DotsOf(const float* basis, size_t stride, const float* v, size_t n, double* dots) {
  const DoubleTag d;
  DoubleVec sums[kColumns][kPartialVecs];
  SLUICE_UNROLL for (size_t k = 0; k < kColumns; ++k) {
    SLUICE_UNROLL for (size_t p = 0; p < kPartialVecs; ++p) sums[k][p] = hn::Zero(d);
  }
  for (size_t i = 0; i < n; i += kPartial) {
    SLUICE_UNROLL for (size_t p = 0; p < kPartialVecs; ++p) {
      const DoubleVec x = LoadDoubles(v + i + p * kDoubles);
      SLUICE_UNROLL for (size_t k = 0; k < kColumns; ++k) {
        const DoubleVec b = LoadDoubles(basis + k * stride + i + p * kDoubles);
        sums[k][p] = hn::Add(sums[k][p], hn::Mul(b, x));
      }
    }
  }
  SLUICE_UNROLL for (size_t k = 0; k < kColumns; ++k) {
    double s[kPartial];
    SLUICE_UNROLL for (size_t p = 0; p < kPartialVecs; ++p) {
      hn::StoreU(sums[k][p], d, s + p * kDoubles);
    }
    dots[k] = ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
  }
}

void ColumnDotsHere(const float* basis, size_t stride, size_t count, const float* v, size_t n,
                    double* dots) {
  size_t k = 0;
  for (; k + 4 <= count; k += 4) DotsOf<4>(basis + k * stride, stride, v, n, dots + k);
  for (; k < count; ++k) DotsOf<1>(basis + k * stride, stride, v, n, dots + k);
}

void SubtractColumnsHere(const float* basis, size_t stride, size_t count, const double* dots,
                         float* v, size_t n) {
  constexpr size_t kBlock = 16;  // a cache line of floats
  const DoubleTag d;
  for (size_t i = 0; i < n; i += kBlock) {
    DoubleVec x[kBlock / kDoubles];
    SLUICE_UNROLL for (size_t p = 0; p < kBlock / kDoubles; ++p) {
      x[p] = LoadDoubles(v + i + p * kDoubles);
    }
    for (size_t k = 0; k < count; ++k) {
      const DoubleVec dot = hn::Set(d, dots[k]);
      SLUICE_UNROLL for (size_t p = 0; p < kBlock / kDoubles; ++p) {
        const DoubleVec b = LoadDoubles(basis + k * stride + i + p * kDoubles);
        x[p] = hn::Sub(x[p], hn::Mul(dot, b));
      }
    }
    SLUICE_UNROLL for (size_t p = 0; p < kBlock / kDoubles; ++p) {
      hn::StoreU(hn::DemoteTo(HalfTag(), x[p]), HalfTag(), v + i + p * kDoubles);
    }
  }
}

void ScaleHere(double factor, float* v, size_t n) {
  const DoubleVec f = hn::Set(DoubleTag(), factor);
  for (size_t i = 0; i < n; i += kDoubles) {
    hn::StoreU(hn::DemoteTo(HalfTag(), hn::Mul(f, LoadDoubles(v + i))), HalfTag(), v + i);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sluice {

HWY_EXPORT(ColumnDotsHere);
HWY_EXPORT(SubtractColumnsHere);
HWY_EXPORT(ScaleHere);

void ColumnDots(const float* basis, size_t stride, size_t count, const float* v, size_t n,
                double* dots) {
  HWY_DYNAMIC_DISPATCH(ColumnDotsHere)(basis, stride, count, v, n, dots);
}

void SubtractColumns(const float* basis, size_t stride, size_t count, const double* dots, float* v,
                     size_t n) {
  HWY_DYNAMIC_DISPATCH(SubtractColumnsHere)(basis, stride, count, dots, v, n);
}

void Scale(double factor, float* v, size_t n) { HWY_DYNAMIC_DISPATCH(ScaleHere)(factor, v, n); }

}  // namespace sluice
#endif  // HWY_ONCE
