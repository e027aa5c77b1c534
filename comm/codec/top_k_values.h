#pragma once

#include <cstddef>
#include <cstdint>

#include "comm/codec/top_k_layout.h"

/// The values of a top-k record, a block of at most kTopKBlock at a time, each encoded as the body
/// of a record of raw, fp16 or maxmin/512 (docs/codecs.md).
namespace sluice {

/// \param out  TopKValueBlockBytes(count, bits) bytes, all of them written
void EncodeTopKValues(const float* values, size_t count, int bits, uint8_t* out);

void DecodeTopKValues(const uint8_t* in, size_t count, int bits, float* values);

/// True if the bits of a block that carry nothing are zero.
bool TopKValuePaddingIsZero(const uint8_t* in, size_t count, int bits);

}  // namespace sluice
