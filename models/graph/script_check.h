#pragma once

#include <torch/csrc/jit/api/module.h>

#include "absl/status/status.h"

namespace sluice::graph {

/// Tracing sees one way through forward: this looks for code that may take another one for other inputs. Numbers that
/// come from shapes are no concern, since two batches are traced. Throws as torch does. \pre it has a forward
/// \error kInvalidArgument  a tensor's values become a number or a condition; names operator and source line
absl::Status CheckScript(const torch::jit::Module& module);

}  // namespace sluice::graph
