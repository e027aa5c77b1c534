#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/jit/runtime/interpreter.h>

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "models/graph/program.h"

namespace sluice::graph {

/// Runs a Program in evaluation mode, as the network that it was made from would. Holds tensors of the program as they
/// are when it is made; nothing of the program is changed. Not thread-safe.
class Evaluator {
 public:
  enum class Precision { kAsIs, kDouble };

  /// \param precision  kDouble: all floating-point numbers are fp64, with weights rounded to fp32 as they are
  /// \error kInternal  LibTorch does not take the program
  static absl::StatusOr<Evaluator> Create(const Program& program,
                                          Precision precision = Precision::kAsIs);

  /// \param inputs    as the example, with any batch size
  /// \param replaced  other values of parameters and buffers, by name, of the same shape
  /// \return the outputs, without gradients
  /// \error kInvalidArgument  a wrong number of inputs, an unknown name, another shape
  /// \error kInternal         LibTorch threw
  absl::StatusOr<std::vector<at::Tensor>> Run(
      const std::vector<at::Tensor>& inputs,
      const std::map<std::string, at::Tensor>& replaced = {}) const;

 private:
  Evaluator(const Program& program, Precision precision);
  at::Tensor Converted(const at::Tensor& tensor) const;

  Precision precision_;
  int32_t inputs_;
  std::vector<State> states_;
  torch::jit::Code code_;
};

}  // namespace sluice::graph
