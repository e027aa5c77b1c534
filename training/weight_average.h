#pragma once

#include <string>
#include <vector>

#include "base/ids.h"
#include "training/model_state.h"
#include "training/safetensors.h"

namespace sluice {

/// Exponential moving average e of a network's parameters w. After step s, counted from 0:
///
///     e = d e + (1 - d) w,   d = min(decay, (1 + s) / (10 + s))
///
/// so that the random start is soon forgotten, and a resumed job goes on with the same d. It starts as the
/// parameters are. Buffers are not averaged: they are running means themselves.
/// Source: Polyak and Juditsky, 1992, "Acceleration of stochastic approximation by averaging"; d while s is
/// small as in TensorFlow's ExponentialMovingAverage.
class WeightAverage {
 public:
  /// \param parameters  fp32 and contiguous
  /// \param decay       in (0, 1)
  WeightAverage(const std::vector<NamedParameter>& parameters, double decay);

  /// After each step. Throws as torch does.
  void Update(Step step);

  /// The average is what the parameters are now.
  void Restart();

  /// Elements [begin, begin + size) of the average of parameter `index` are zero now.
  void Zero(int index, int64_t begin, int64_t size);

  /// Exchanges the contents of parameters and average; twice changes nothing.
  void Swap();

  /// The live memory of the average, under the parameters' names after `prefix`.
  std::vector<SafeTensor> Tensors(const std::string& prefix) const;

 private:
  std::vector<NamedParameter> parameters_;
  std::vector<NamedParameter> average_;
  double decay_;
};

}  // namespace sluice
