#pragma once

#include <cstddef>
#include <cstdint>

#include "comm/codec/quantised_body.h"

namespace sluice {

/// Values of a top-k record are encoded in blocks of this many; a quantised block has its own scale.
inline constexpr size_t kTopKBlock = 512;

/// Where things are in a top-k record after its header (docs/top_k.md), from the count of elements
/// and the config alone: both sides of a connection compute the same.
///
///     | low parts of places | bitmap | values, in blocks |
///
/// A place is an element's index. Two forms, the shorter one is taken:
///   - with low parts: place i has its low `low_bits` bits in the low parts, and the bit
///     (place >> low_bits) + i of the bitmap set (Elias 1974; Vigna 2013, "Quasi-succinct indices");
///   - without: bit `place` of the bitmap is set.
struct TopKLayout {
  size_t elements = 0;
  size_t kept = 0;  ///< entries, exactly; 0 only of no elements
  bool has_low_parts = false;
  int low_bits = 0;        ///< 0 without low parts, and may be with them
  size_t low_bytes = 0;    ///< a multiple of 4, like bitmap_bytes
  size_t bitmap_bits = 0;  ///< past them, the bitmap's last word is zero
  size_t bitmap_bytes = 0;
  size_t value_bytes = 0;
  size_t bytes = 0;  ///< of the whole body, a multiple of 4
};

/// max(1, ceil(elements * density_ppm / 10^6)), and no more than there are.
/// \pre elements < 2^32, density_ppm <= 10^6
constexpr size_t TopKKept(size_t elements, uint32_t density_ppm) {
  const size_t kept = (elements * density_ppm + 999999) / 1000000;
  return elements == 0 ? 0 : kept == 0 ? 1 : kept;
}

/// Bytes of `count` encoded values. \pre bits is 32, 16, 8 or 4; count <= kTopKBlock if 8 or 4
constexpr size_t TopKValueBlockBytes(size_t count, int bits) {
  if (bits == 32) return count * 4;
  if (bits == 16) return (count * 2 + 3) / 4 * 4;
  return count == 0 ? 0 : LayoutOf(count, bits, kTopKBlock, 8).bytes;
}

/// \pre elements < 2^32, density_ppm <= 10^6, bits is 32, 16, 8 or 4
constexpr TopKLayout TopKLayoutOf(size_t elements, uint32_t density_ppm, int bits) {
  TopKLayout layout;
  layout.elements = elements;
  layout.kept = TopKKept(elements, density_ppm);
  if (elements == 0) return layout;

  // floor(log2(elements / kept)) low bits make the shortest record.
  int low_bits = 0;
  while (elements >> (low_bits + 1) >= layout.kept) ++low_bits;
  const size_t low_bytes = (layout.kept * static_cast<size_t>(low_bits) + 31) / 32 * 4;
  const size_t high_bits = ((elements - 1) >> low_bits) + layout.kept;
  const size_t high_bytes = (high_bits + 31) / 32 * 4;
  const size_t plain_bytes = (elements + 31) / 32 * 4;
  layout.has_low_parts = low_bytes + high_bytes < plain_bytes;
  layout.low_bits = layout.has_low_parts ? low_bits : 0;
  layout.low_bytes = layout.has_low_parts ? low_bytes : 0;
  layout.bitmap_bits = layout.has_low_parts ? high_bits : elements;
  layout.bitmap_bytes = layout.has_low_parts ? high_bytes : plain_bytes;

  layout.value_bytes = layout.kept / kTopKBlock * TopKValueBlockBytes(kTopKBlock, bits) +
                       TopKValueBlockBytes(layout.kept % kTopKBlock, bits);
  layout.bytes = layout.low_bytes + layout.bitmap_bytes + layout.value_bytes;
  return layout;
}

}  // namespace sluice
