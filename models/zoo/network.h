#pragma once

#include <torch/nn/module.h>

namespace sluice {

/// A classifier of grey 28 x 28 images.
class Network : public torch::nn::Module {
 public:
  /// \param images  n x 1 x 28 x 28, fp32
  /// \return logits, n x 10
  virtual torch::Tensor forward(torch::Tensor images) = 0;
};

}  // namespace sluice
