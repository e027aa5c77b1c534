#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "comm/codec/l2norm_kernels.cc"
// clang-format off
#include "hwy/foreach_target.h"  // compiles this file once per instruction set: stays first
// clang-format on

#include "comm/codec/kernels.h"
#include "comm/codec/l2norm-inl.h"
#include "comm/codec/quantiser_loops-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace sluice {
namespace HWY_NAMESPACE {

void EncodeL2NormHere(const float* in, size_t n, const QuantiserParams& params, uint64_t key,
                      uint8_t* body) {
  EncodeQuantisedRecord<L2Norm>(in, n, params, key, body);
}

void DecodeL2NormHere(const uint8_t* body, size_t n, const QuantiserParams& params, DecodeMode mode,
                      float* out) {
  DecodeQuantisedRecord<L2Norm>(body, n, params, mode, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sluice {

HWY_EXPORT(EncodeL2NormHere);
HWY_EXPORT(DecodeL2NormHere);

void EncodeL2Norm(const float* in, size_t n, const QuantiserParams& params, uint64_t key,
                  uint8_t* body) {
  HWY_DYNAMIC_DISPATCH(EncodeL2NormHere)(in, n, params, key, body);
}

void DecodeL2Norm(const uint8_t* body, size_t n, const QuantiserParams& params, DecodeMode mode,
                  float* out) {
  HWY_DYNAMIC_DISPATCH(DecodeL2NormHere)(body, n, params, mode, out);
}

}  // namespace sluice
#endif  // HWY_ONCE
