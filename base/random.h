#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"

namespace sluice {

/// Mixes the bits of `x`: a bijection whose output passes for random.
/// Source: Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators" (SplitMix64).
constexpr uint64_t MixBits(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/// Key of one random stream. Randomness in Sluice is a pure function of (seed, step, layer, rank), so
/// that a rerun draws the same numbers in any order and on any thread.
class RandomKey {
 public:
  constexpr explicit RandomKey(uint64_t seed) : value_(MixBits(seed)) {}

  /// A stream that depends on this key and on `part`; the order of the parts matters.
  constexpr RandomKey With(uint64_t part) const {
    RandomKey next(0);
    next.value_ = MixBits(value_ ^ MixBits(part + 0x632be59bd9b4e019u));
    return next;
  }
  /// The same for a name, such as a layer's.
  constexpr RandomKey With(absl::string_view name) const {
    uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
    for (char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    return With(hash);
  }

  /// The `counter`-th 64 random bits of the stream.
  constexpr uint64_t Bits(uint64_t counter) const {
    return MixBits(value_ + counter * 0x9e3779b97f4a7c15u);
  }
  /// Uniform in [0, bound), bound > 0; the bias is below bound / 2^64.
  uint64_t Below(uint64_t counter, uint64_t bound) const {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(Bits(counter)) * bound) >> 64);
  }
  constexpr uint64_t value() const { return value_; }

 private:
  uint64_t value_;
};

}  // namespace sluice
