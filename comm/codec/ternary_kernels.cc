#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "comm/codec/ternary_kernels.cc"
// clang-format off
#include "hwy/foreach_target.h"  // compiles this file once per instruction set: stays first
// clang-format on

#include "comm/codec/kernels.h"
#include "comm/codec/quantiser_loops-inl.h"
#include "comm/codec/ternary-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace sluice {
namespace HWY_NAMESPACE {

void EncodeTernaryHere(const float* in, size_t n, const QuantiserParams& params, uint8_t* body) {
  EncodeNearestRecord<Ternary>(in, n, params, body);
}

void DecodeTernaryHere(const uint8_t* body, size_t n, const QuantiserParams& params,
                       DecodeMode mode, float* out) {
  DecodeQuantisedRecord<Ternary>(body, n, params, mode, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sluice {

HWY_EXPORT(EncodeTernaryHere);
HWY_EXPORT(DecodeTernaryHere);

void EncodeTernary(const float* in, size_t n, const QuantiserParams& params, uint8_t* body) {
  HWY_DYNAMIC_DISPATCH(EncodeTernaryHere)(in, n, params, body);
}

void DecodeTernary(const uint8_t* body, size_t n, const QuantiserParams& params, DecodeMode mode,
                   float* out) {
  HWY_DYNAMIC_DISPATCH(DecodeTernaryHere)(body, n, params, mode, out);
}

}  // namespace sluice
#endif  // HWY_ONCE
