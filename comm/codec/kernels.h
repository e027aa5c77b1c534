#pragma once

#include <cstddef>
#include <cstdint>

#include "comm/codec/decode_mode.h"
#include "comm/codec/quantised_body.h"

/// The loops over elements, compiled for several instruction sets and chosen at run time. All give
/// the same bits on every instruction set: no fused multiply-add, no order of summation that
/// depends on the vector width. Sizes are checked by the callers in codec.cc; `body` is what
/// follows the record header.
namespace sluice {

// cast_kernels.cc
void EncodeFp16(const float* in, size_t n, uint8_t* body);
void EncodeBf16(const float* in, size_t n, uint8_t* body);
void DecodeRaw(const uint8_t* body, size_t n, DecodeMode mode, float* out);
void DecodeFp16(const uint8_t* body, size_t n, DecodeMode mode, float* out);
void DecodeBf16(const uint8_t* body, size_t n, DecodeMode mode, float* out);
const char* KernelInstructionSet();

// maxmin_kernels.cc
void EncodeMaxMin(const float* in, size_t n, const QuantiserParams& params, uint64_t key,
                  uint8_t* body);
void DecodeMaxMin(const uint8_t* body, size_t n, const QuantiserParams& params, DecodeMode mode,
                  float* out);

// l2norm_kernels.cc
void EncodeL2Norm(const float* in, size_t n, const QuantiserParams& params, uint64_t key,
                  uint8_t* body);
void DecodeL2Norm(const uint8_t* body, size_t n, const QuantiserParams& params, DecodeMode mode,
                  float* out);

// error_kernels.cc
/// Adds to sums[k] the squared error of params[k] on in[0, n). All have the bucket size of
/// params[0]: each bucket is read from memory once.
void AddMaxMinErrors(const float* in, size_t n, const QuantiserParams* params, size_t count,
                     double* sums);
void AddL2NormErrors(const float* in, size_t n, const QuantiserParams* params, size_t count,
                     double* sums);

}  // namespace sluice
