#pragma once

#include <vector>

#include "absl/types/span.h"
#include "comm/codec/codec_config.h"

namespace sluice {

/// SquaredErrors for configs that are all kTopK: the error of the selection that Encode makes, and of
/// its encoded values, to the rounding of double sums.
///
/// One pass for all configs counts the elements of each bin of magnitudes and adds up their squares;
/// what a config drops is then the sum of the bins below its boundary. One more pass per config
/// collects its entries (three if exact), to measure how their values round and what the boundary's bin
/// keeps. NaN for each config when some value is not finite.
/// \pre every config is valid and of kind kTopK
std::vector<double> TopKSquaredErrors(absl::Span<const CodecConfig> configs,
                                      absl::Span<const float> values);

}  // namespace sluice
