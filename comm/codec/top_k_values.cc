#include "comm/codec/top_k_values.h"

#include <cstring>

#include "comm/codec/kernels.h"

namespace sluice {
namespace {

QuantiserParams ParamsOf(int bits) { return {bits, kTopKBlock, /*stochastic=*/false}; }

}  // namespace

void EncodeTopKValues(const float* values, size_t count, int bits, uint8_t* out) {
  if (bits == 32) {
    std::memcpy(out, values, count * sizeof(float));
  } else if (bits == 16) {
    EncodeFp16(values, count, out);
  } else {
    EncodeMaxMin(values, count, ParamsOf(bits), /*key=*/0, out);
  }
}

void DecodeTopKValues(const uint8_t* in, size_t count, int bits, float* values) {
  if (bits == 32) {
    std::memcpy(values, in, count * sizeof(float));
  } else if (bits == 16) {
    DecodeFp16(in, count, DecodeMode::kAssign, values);
  } else {
    DecodeMaxMin(in, count, ParamsOf(bits), DecodeMode::kAssign, values);
  }
}

bool TopKValuePaddingIsZero(const uint8_t* in, size_t count, int bits) {
  const size_t scale_bytes = bits < 16 ? 8 : 0;
  const size_t used_bits = scale_bytes * 8 + count * static_cast<size_t>(bits);
  if (used_bits % 8 != 0 && in[used_bits / 8] >> (used_bits % 8) != 0) return false;
  for (size_t i = (used_bits + 7) / 8; i < TopKValueBlockBytes(count, bits); ++i) {
    if (in[i] != 0) return false;
  }
  return true;
}

}  // namespace sluice
