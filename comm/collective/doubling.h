#pragma once

#include <cstdint>

namespace sluice {

/// Up to here partners exchange whole vectors: log2 N steps instead of 2 log2 N.
inline constexpr int64_t kDoublingBytes = 16384;

/// The largest power of two that is at most `ranks`: those that exchange. \pre ranks >= 1
constexpr int LargestPowerOfTwo(int ranks) {
  int power = 1;
  while (power <= ranks / 2) power *= 2;
  return power;
}

}  // namespace sluice
