#pragma once

#include <cstddef>

namespace sluice {

/// One step of SGD with momentum over a tensor, in one pass over memory:
///
///     m = momentum * m + (gradient + weight_decay * w)
///     w = w - learning_rate * m
///         with Nesterov's momentum: - learning_rate * (gradient + weight_decay * w + momentum * m)
///
/// Rounds where torch::optim::SGD does, which makes a pass per operation: the same bits as torch on
/// processors with FMA. Without FMA the bits are those too, only slower to come by, so that ranks on
/// different processors keep equal replicas. The arrays must not overlap.
/// \param momentum_buffer  null = no momentum: m is the gradient; nesterov has no effect then
void SgdStep(float* w, const float* gradient, float* momentum_buffer, size_t n, float learning_rate,
             float momentum, float weight_decay, bool nesterov = false);

}  // namespace sluice
