#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace sluice {

/// n samples, as a network takes them and a loss judges them.
struct Batch {
  std::vector<at::Tensor> inputs;  ///< what Network::forward takes, n first in each shape
  at::Tensor targets;              ///< int64: n, or n x T with one target per position
  /// Of mixup: sample i is blended from two, w_i of the one with target targets[i] and 1 - w_i of the one
  /// with mixed_targets[i], and its loss is blended alike. Both undefined where nothing was blended.
  at::Tensor mixed_targets = {};  ///< int64: n
  at::Tensor weights = {};        ///< w, fp32: n, each in [0, 1]

  int64_t size() const { return targets.size(0); }

  /// Samples [begin, begin + count); shares memory.
  Batch Narrow(int64_t begin, int64_t count) const {
    Batch narrow;
    for (const at::Tensor& input : inputs) narrow.inputs.push_back(input.narrow(0, begin, count));
    narrow.targets = targets.narrow(0, begin, count);
    if (weights.defined()) {
      narrow.mixed_targets = mixed_targets.narrow(0, begin, count);
      narrow.weights = weights.narrow(0, begin, count);
    }
    return narrow;
  }
};

}  // namespace sluice
