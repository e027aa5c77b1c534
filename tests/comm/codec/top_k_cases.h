#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/random.h"
#include "comm/codec/codec_config.h"

namespace sluice {

CodecConfig TopK(uint32_t density_ppm, uint8_t bits, bool exact);

/// Densities from one in a million to all, each kind of value, both selections.
std::vector<CodecConfig> TopKCodecs();

/// A config as a GoogleTest parameter name.
std::string TopKTestName(const CodecConfig& config);

/// Lengths around groups of vectors, words of bitmaps and blocks of values.
std::vector<int64_t> TopKSizes();

/// Inputs of one length that are hard to select from.
struct TopKInput {
  std::string name;
  std::vector<float> values;
};
std::vector<TopKInput> TopKInputs(RandomKey key, int64_t n);

/// The places that docs/top_k.md says are taken, ascending: by sorting all.
std::vector<uint32_t> ReferencePlaces(const CodecConfig& config, const std::vector<float>& values);

/// The record as docs/top_k.md defines it, a bit at a time. Values are encoded as records of the
/// codecs that they borrow.
std::vector<std::byte> ReferenceTopKRecord(const CodecConfig& config,
                                           const std::vector<float>& values);

}  // namespace sluice
