#pragma once

#include <torch/nn/module.h>

#include <vector>

namespace sluice {

/// Anything that is trained: inputs in, logits out.
class Network : public torch::nn::Module {
 public:
  /// \param inputs  those of a Batch: images are one, n x channels x height x width in fp32; tokens are one,
  ///                n x positions in int64
  /// \return logits: n x classes, or n x positions x classes where targets are per position
  virtual torch::Tensor forward(const std::vector<torch::Tensor>& inputs) = 0;
};

}  // namespace sluice
