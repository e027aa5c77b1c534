#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice {

/// What the kernels of a quantiser need of its config.
struct QuantiserParams {
  int bits = 0;
  size_t bucket_size = 0;
  bool stochastic = false;
};

/// Where things are in a quantiser's record after the header: the scales of all buckets, then the
/// codes.
///
///     | scale 0 | scale 1 | ... | codes, `bits` bits each, little-endian bit stream | 0 to 7 zero
///     bytes |
///
/// The codes and their padding are a multiple of 8 bytes.
struct QuantisedBody {
  size_t scale_bytes = 0;  ///< of all buckets
  size_t code_bytes = 0;   ///< without padding
  size_t bytes = 0;        ///< of the whole body
};

/// \param bytes_per_scale  8 for max-min (unit and min), 4 for the others
constexpr QuantisedBody LayoutOf(size_t elements, int bits, size_t bucket_size,
                                 size_t bytes_per_scale) {
  QuantisedBody body;
  body.scale_bytes = (elements / bucket_size + (elements % bucket_size != 0)) * bytes_per_scale;
  body.code_bytes = (elements * static_cast<size_t>(bits) + 7) / 8;
  body.bytes = body.scale_bytes + (body.code_bytes + 7) / 8 * 8;
  return body;
}

}  // namespace sluice
