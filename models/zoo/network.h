#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <ostream>
#include <vector>

namespace sluice {

/// Anything that is trained: inputs in, logits out.
class Network : public torch::nn::Module {
 public:
  /// \param inputs  those of a Batch: images are one, n x channels x height x width in fp32; tokens are one,
  ///                n x positions in int64
  /// \return logits: n x classes, or n x positions x classes where targets are per position
  virtual torch::Tensor forward(const std::vector<torch::Tensor>& inputs) = 0;

  /// Writes it in LibTorch's own format, for other programs: parameters and buffers as a torch archive, unless a
  /// network knows better. Throws as torch does.
  virtual void WriteArchive(std::ostream& out) const;

  /// XXH3 of the file that its weights and its code came from; 0 where there is none.
  virtual uint64_t file_digest() const { return 0; }
};

}  // namespace sluice
