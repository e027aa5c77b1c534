#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace sluice {

/// n samples, as a network takes them and a loss judges them.
struct Batch {
  std::vector<at::Tensor> inputs;  ///< what Network::forward takes, n first in each shape
  at::Tensor targets;              ///< int64: n, or n x T with one target per position

  int64_t size() const { return targets.size(0); }

  /// Samples [begin, begin + count); shares memory.
  Batch Narrow(int64_t begin, int64_t count) const {
    Batch narrow;
    for (const at::Tensor& input : inputs) narrow.inputs.push_back(input.narrow(0, begin, count));
    narrow.targets = targets.narrow(0, begin, count);
    return narrow;
  }
};

}  // namespace sluice
