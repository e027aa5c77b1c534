#pragma once

#include <cstddef>
#include <cstdint>

#include "comm/codec/top_k_layout.h"
#include "comm/codec/top_k_selection.h"

/// The loops of top-k over all elements, compiled for several instruction sets and chosen at run
/// time. Integer arithmetic alone: the same bits on each.
///
/// A magnitude is a float's bits without its sign, as an integer: for floats that are not NaN it
/// orders as |x| does, and a NaN is above infinity.
namespace sluice {

/// Counts of magnitudes in bins of 2^shift. Two columns, so that neighbours in one bin do not wait
/// for each other's store; their sum is the count.
inline constexpr size_t kTopKBins = 4096;
struct TopKCounts {
  uint32_t counts[2][kTopKBins];
};

/// Adds 1 to bin (magnitude - first) >> shift for each magnitude of in[0, n) in [first, last].
/// \pre 0 <= first <= last, (last - first) >> shift < kTopKBins
void CountMagnitudes(const float* in, size_t n, int32_t first, int32_t last, int shift,
                     TopKCounts* bins);

/// Moves selected elements to a block, in order, from *next on, until it holds kTopKBlock of them
/// or the input ends; `selection` keeps what is left to select.
void FillTopKBlock(const float* in, size_t n, size_t* next, TopKSelection* selection,
                   TopKBlock* block);

}  // namespace sluice
