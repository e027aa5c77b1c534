#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "comm/codec/clipped_kernels.cc"
// clang-format off
#include "hwy/foreach_target.h"  // compiles this file once per instruction set: stays first
// clang-format on

#include "comm/codec/clipped-inl.h"
#include "comm/codec/kernels.h"
#include "comm/codec/quantiser_loops-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace sluice {
namespace HWY_NAMESPACE {

void EncodeClippedHere(const float* in, size_t n, const QuantiserParams& params, uint8_t* body) {
  EncodeNearestRecord<Clipped>(in, n, params, body);
}

void DecodeClippedHere(const uint8_t* body, size_t n, const QuantiserParams& params,
                       DecodeMode mode, float* out) {
  DecodeQuantisedRecord<Clipped>(body, n, params, mode, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sluice {

HWY_EXPORT(EncodeClippedHere);
HWY_EXPORT(DecodeClippedHere);

void EncodeClipped(const float* in, size_t n, const QuantiserParams& params, uint8_t* body) {
  HWY_DYNAMIC_DISPATCH(EncodeClippedHere)(in, n, params, body);
}

void DecodeClipped(const uint8_t* body, size_t n, const QuantiserParams& params, DecodeMode mode,
                   float* out) {
  HWY_DYNAMIC_DISPATCH(DecodeClippedHere)(body, n, params, mode, out);
}

}  // namespace sluice
#endif  // HWY_ONCE
