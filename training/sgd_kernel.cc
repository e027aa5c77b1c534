#include "training/sgd_kernel.h"

#include <cmath>

namespace sluice {
namespace {

// Inlined into functions that may use FMA and into ones that may not.
#define SLUICE_INLINE inline __attribute__((always_inline))

template <bool kNesterov>
SLUICE_INLINE void Loop(float* __restrict w, const float* __restrict gradient,
                        float* __restrict momentum_buffer, size_t n, float learning_rate,
                        float momentum, float weight_decay) {
  for (size_t i = 0; i < n; ++i) {
    const float g = std::fma(w[i], weight_decay, gradient[i]);
    // Not fused: torch multiplies, rounds and adds.
    const float scaled = momentum * momentum_buffer[i];
    const float m = scaled + g;
    momentum_buffer[i] = m;
    w[i] = std::fma(kNesterov ? std::fma(m, momentum, g) : m, -learning_rate, w[i]);
  }
}

SLUICE_INLINE void LoopWithoutMomentum(float* __restrict w, const float* __restrict gradient,
                                       size_t n, float learning_rate, float weight_decay) {
  for (size_t i = 0; i < n; ++i) {
    w[i] = std::fma(std::fma(w[i], weight_decay, gradient[i]), -learning_rate, w[i]);
  }
}

SLUICE_INLINE void Step(float* w, const float* gradient, float* momentum_buffer, size_t n,
                        float learning_rate, float momentum, float weight_decay, bool nesterov) {
  if (momentum_buffer == nullptr) {
    LoopWithoutMomentum(w, gradient, n, learning_rate, weight_decay);
  } else if (nesterov) {
    Loop<true>(w, gradient, momentum_buffer, n, learning_rate, momentum, weight_decay);
  } else {
    Loop<false>(w, gradient, momentum_buffer, n, learning_rate, momentum, weight_decay);
  }
}

#ifdef __x86_64__
__attribute__((target("avx2,fma"))) void StepAvx2(float* w, const float* gradient,
                                                  float* momentum_buffer, size_t n,
                                                  float learning_rate, float momentum,
                                                  float weight_decay, bool nesterov) {
  Step(w, gradient, momentum_buffer, n, learning_rate, momentum, weight_decay, nesterov);
}
#endif

}  // namespace

void SgdStep(float* w, const float* gradient, float* momentum_buffer, size_t n, float learning_rate,
             float momentum, float weight_decay, bool nesterov) {
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return StepAvx2(w, gradient, momentum_buffer, n, learning_rate, momentum, weight_decay,
                    nesterov);
  }
#endif
  Step(w, gradient, momentum_buffer, n, learning_rate, momentum, weight_decay, nesterov);
}

}  // namespace sluice
