#pragma once

namespace sluice {

/// What Decode does with each decoded value.
enum class DecodeMode {
  kAssign,    ///< out[i] = value
  kAdd,       ///< out[i] += value
  kSubtract,  ///< out[i] -= value; after Encode of x, turns x into what encoding lost
};

}  // namespace sluice
