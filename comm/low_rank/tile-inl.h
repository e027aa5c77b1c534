// Per-target: vectors and the sizes of blocks and tiles that the kernels share.
// Included once per instruction set by kernels; see Highway's foreach_target.h.
#if defined(SLUICE_LOW_RANK_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_LOW_RANK_TILE_INL_H_
#undef SLUICE_LOW_RANK_TILE_INL_H_
#else
#define SLUICE_LOW_RANK_TILE_INL_H_
#endif

#include <stddef.h>
#include <string.h>

#include "comm/low_rank/unroll.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace sluice {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::ScalableTag<float>;
using FloatVec = hn::Vec<FloatTag>;
constexpr size_t kLanes = hn::MaxLanes(FloatTag());

// in[0, count) and zeros, count <= kLanes.
HWY_INLINE FloatVec LoadFirst(const float* in, size_t count) {
  alignas(64) float buffer[kLanes] = {};
  memcpy(buffer, in, count * sizeof(float));
  return hn::Load(FloatTag(), buffer);
}

HWY_INLINE void StoreFirst(FloatVec v, float* out, size_t count) {
  alignas(64) float buffer[kLanes];
  hn::Store(v, FloatTag(), buffer);
  memcpy(out, buffer, count * sizeof(float));
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice
HWY_AFTER_NAMESPACE();

#endif  // per target
