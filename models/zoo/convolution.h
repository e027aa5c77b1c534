#pragma once

#include <torch/nn/modules/conv.h>

namespace sluice {

/// Without bias, for what batch norm follows; padded so that stride 1 keeps the size (odd kernels).
inline torch::nn::Conv2d Convolution(int64_t in, int64_t out, int64_t kernel, int64_t stride,
                                     int64_t groups = 1) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, kernel)
                               .stride(stride)
                               .padding(kernel / 2)
                               .groups(groups)
                               .bias(false));
}

}  // namespace sluice
