// Per-target: loads and stores that respect the ends of arrays, and what a DecodeMode does.
// Included once per instruction set by kernels; see Highway's foreach_target.h.
#if defined(SLUICE_CODEC_VECTOR_IO_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_CODEC_VECTOR_IO_INL_H_
#undef SLUICE_CODEC_VECTOR_IO_INL_H_
#else
#define SLUICE_CODEC_VECTOR_IO_INL_H_
#endif

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "comm/codec/decode_mode.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace sluice {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::ScalableTag<float>;
using FloatVec = hn::Vec<FloatTag>;
using IntTag = hn::RebindToSigned<FloatTag>;
using IntVec = hn::Vec<IntTag>;
using ByteTag = hn::Rebind<uint8_t, FloatTag>;  // one byte per float lane

constexpr size_t kLanes = hn::MaxLanes(FloatTag());

// in[0, count) and zeros, count <= kLanes.
HWY_INLINE FloatVec LoadFirst(const float* in, size_t count) {
  float buffer[kLanes] = {};
  memcpy(buffer, in, count * sizeof(float));
  return hn::LoadU(FloatTag(), buffer);
}

HWY_INLINE void StoreFirst(FloatVec v, float* out, size_t count) {
  float buffer[kLanes];
  hn::StoreU(v, FloatTag(), buffer);
  memcpy(out, buffer, count * sizeof(float));
}

// As LoadFirst for codes, one per float lane.
HWY_INLINE IntVec LoadCodes(const uint8_t* in) {
  return hn::PromoteTo(IntTag(), hn::LoadU(ByteTag(), in));
}

HWY_INLINE IntVec LoadFirstCodes(const uint8_t* in, size_t count) {
  uint8_t buffer[kLanes] = {};
  memcpy(buffer, in, count);
  return LoadCodes(buffer);
}

HWY_INLINE void StoreCodes(IntVec codes, uint8_t* out) {
  hn::StoreU(hn::DemoteTo(ByteTag(), codes), ByteTag(), out);
}

HWY_INLINE void StoreFirstCodes(IntVec codes, uint8_t* out, size_t count) {
  uint8_t buffer[kLanes];
  StoreCodes(codes, buffer);
  memcpy(out, buffer, count);
}

template <DecodeMode kMode>
HWY_INLINE FloatVec Combine(FloatVec old, FloatVec value) {
  if (kMode == DecodeMode::kAdd) return hn::Add(old, value);
  if (kMode == DecodeMode::kSubtract) return hn::Sub(old, value);
  return value;
}

template <DecodeMode kMode>
HWY_INLINE void Apply(FloatVec value, float* out) {
  hn::StoreU(Combine<kMode>(hn::LoadU(FloatTag(), out), value), FloatTag(), out);
}

template <DecodeMode kMode>
HWY_INLINE void ApplyFirst(FloatVec value, float* out, size_t count) {
  StoreFirst(Combine<kMode>(LoadFirst(out, count), value), out, count);
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice
HWY_AFTER_NAMESPACE();

#endif  // per target
