#pragma once

#include <cstddef>
#include <cstdint>

#include "comm/codec/codec_config.h"
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

// sign_kernels.cc
void EncodeSign(const float* in, size_t n, const QuantiserParams& params, uint8_t* body);
void DecodeSign(const uint8_t* body, size_t n, const QuantiserParams& params, DecodeMode mode,
                float* out);

// clipped_kernels.cc
void EncodeClipped(const float* in, size_t n, const QuantiserParams& params, uint8_t* body);
void DecodeClipped(const uint8_t* body, size_t n, const QuantiserParams& params, DecodeMode mode,
                   float* out);

// ternary_kernels.cc
void EncodeTernary(const float* in, size_t n, const QuantiserParams& params, uint8_t* body);
void DecodeTernary(const uint8_t* body, size_t n, const QuantiserParams& params, DecodeMode mode,
                   float* out);

// error_kernels.cc
/// Adds to sums[k] the squared error of configs[k] on in[0, n). All are quantisers of one bucket
/// size: each bucket is read from memory once.
void AddQuantiserErrors(const float* in, size_t n, const CodecConfig* configs, size_t count,
                        double* sums);
/// Infinite or NaN when some value is not finite, and only then.
double SquaredNorm(const float* in, size_t n);

}  // namespace sluice
