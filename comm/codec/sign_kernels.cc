#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "comm/codec/sign_kernels.cc"
// clang-format off
#include "hwy/foreach_target.h"  // compiles this file once per instruction set: stays first
// clang-format on

#include "comm/codec/kernels.h"
#include "comm/codec/quantiser_loops-inl.h"
#include "comm/codec/sign-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace sluice {
namespace HWY_NAMESPACE {

void EncodeSignHere(const float* in, size_t n, const QuantiserParams& params, uint8_t* body) {
  EncodeNearestRecord<Sign>(in, n, params, body);
}

void DecodeSignHere(const uint8_t* body, size_t n, const QuantiserParams& params, DecodeMode mode,
                    float* out) {
  DecodeQuantisedRecord<Sign>(body, n, params, mode, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sluice {

HWY_EXPORT(EncodeSignHere);
HWY_EXPORT(DecodeSignHere);

void EncodeSign(const float* in, size_t n, const QuantiserParams& params, uint8_t* body) {
  HWY_DYNAMIC_DISPATCH(EncodeSignHere)(in, n, params, body);
}

void DecodeSign(const uint8_t* body, size_t n, const QuantiserParams& params, DecodeMode mode,
                float* out) {
  HWY_DYNAMIC_DISPATCH(DecodeSignHere)(body, n, params, mode, out);
}

}  // namespace sluice
#endif  // HWY_ONCE
