#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice {

/// Stores the `sizeof(T)` bytes of an unsigned integer, least significant first.
template <class T>
void StoreLittleEndian(T value, std::byte* out) {
  for (size_t i = 0; i < sizeof(T); ++i) out[i] = static_cast<std::byte>(value >> (8 * i));
}

/// The inverse of StoreLittleEndian.
template <class T>
T LoadLittleEndian(const std::byte* in) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) value |= static_cast<T>(in[i]) << (8 * i);
  return value;
}

}  // namespace sluice
