#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/random.h"
#include "comm/codec/codec.h"

namespace sluice {

/// One of every kind of codec: each width, several bucket sizes, both roundings.
std::vector<CodecConfig> AllCodecs();

/// A config as a GoogleTest parameter name.
std::string TestName(const CodecConfig& config);

/// Lengths around every edge: nothing, one, groups of eight, buckets, chunks.
std::vector<int64_t> InterestingSizes();

/// Normal deviates times `scale`, a function of the key alone.
std::vector<float> Gaussian(RandomKey key, int64_t n, float scale = 1.0f);

/// Encode into a record of the right length.
std::vector<std::byte> EncodeRecord(const CodecConfig& config, const std::vector<float>& values,
                                    RandomKey key = RandomKey(7));

/// Decode that must succeed.
std::vector<float> DecodeRecord(const CodecConfig& config, const std::vector<std::byte>& record,
                                int64_t n);

/// The bit patterns of floats, to compare NaN and signed zeros too.
std::vector<uint32_t> BitsOf(const std::vector<float>& values);

}  // namespace sluice
