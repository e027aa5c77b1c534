#pragma once

#include <vector>

#include "absl/types/span.h"
#include "comm/codec/codec.h"

namespace sluice {

/// Squared error of several codecs on the same values in as few passes as possible: one pass per
/// bucket size for all quantisers.
/// \return for each config, sum over i of (x[i] - decode(encode(x))[i])^2 for round-to-nearest, as
///         Encode and Decode would give it up to float summation; for stochastic rounding its
///         expectation. NaN when `values` holds a NaN or an infinity and the codec is lossy.
/// \pre every config passes ValidateCodec; none is kLowRank, whose error is one of whole tensors
std::vector<double> SquaredErrors(absl::Span<const CodecConfig> configs,
                                  absl::Span<const float> values);

}  // namespace sluice
