#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "comm/codec/maxmin_kernels.cc"
// clang-format off
#include "hwy/foreach_target.h"  // compiles this file once per instruction set: stays first
// clang-format on

#include "comm/codec/kernels.h"
#include "comm/codec/maxmin-inl.h"
#include "comm/codec/quantiser_loops-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace sluice {
namespace HWY_NAMESPACE {

void EncodeMaxMinHere(const float* in, size_t n, const QuantiserParams& params, uint64_t key,
                      uint8_t* body) {
  EncodeQuantisedRecord<MaxMin>(in, n, params, key, body);
}

void DecodeMaxMinHere(const uint8_t* body, size_t n, const QuantiserParams& params, DecodeMode mode,
                      float* out) {
  DecodeQuantisedRecord<MaxMin>(body, n, params, mode, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sluice {

HWY_EXPORT(EncodeMaxMinHere);
HWY_EXPORT(DecodeMaxMinHere);

void EncodeMaxMin(const float* in, size_t n, const QuantiserParams& params, uint64_t key,
                  uint8_t* body) {
  HWY_DYNAMIC_DISPATCH(EncodeMaxMinHere)(in, n, params, key, body);
}

void DecodeMaxMin(const uint8_t* body, size_t n, const QuantiserParams& params, DecodeMode mode,
                  float* out) {
  HWY_DYNAMIC_DISPATCH(DecodeMaxMinHere)(body, n, params, mode, out);
}

}  // namespace sluice
#endif  // HWY_ONCE
