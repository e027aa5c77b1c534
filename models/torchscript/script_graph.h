#pragma once

#include <torch/csrc/jit/api/module.h>

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace sluice {

/// What can be said of a TorchScript module's forward without running it.
struct ScriptGraph {
  /// Weights that are constants: the module was frozen.
  bool has_constant_weights = false;
  /// Batch norm or dropout whose mode was fixed by tracing: train() and eval() do not reach it.
  bool always_training = false;
  bool always_evaluating = false;
  /// Operators that have no gradient, e.g. "aten::_native_multi_head_attention".
  std::vector<std::string> without_gradient;
  /// Attributes that forward assigns and that are no tensors, e.g. "count".
  std::vector<std::string> assigned;
};

/// Reads the inlined graph of `module`'s forward. Throws as torch does. \pre it has a forward
ScriptGraph InspectForward(const torch::jit::Module& module);

}  // namespace sluice
