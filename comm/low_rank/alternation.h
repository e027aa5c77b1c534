#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace sluice {

/// Floats that one tensor sends when its left and when its right factor travels.
struct FactorSizes {
  int64_t left = 0;
  int64_t right = 0;
};

/// One parity per tensor for LowRankTensor, such that even and odd steps send about as much in total:
/// gradients are mostly much wider than tall, and with equal parities every second step would carry
/// nearly everything. A function of the sizes alone, so that all ranks agree.
/// Method: in order of the difference of the sizes, largest first, each tensor is put where it narrows
/// the gap that the ones before it left. The gap that remains is at most the largest difference.
std::vector<int> AlternationParities(absl::Span<const FactorSizes> tensors);

}  // namespace sluice
