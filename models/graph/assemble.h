#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <set>
#include <vector>

#include "absl/status/statusor.h"
#include "models/graph/imported.h"
#include "models/graph/source.h"
#include "models/graph/trace.h"

namespace sluice::graph {

/// What a source did.
struct Traces {
  Trace evaluates;           // in evaluation mode, with the example
  Trace evaluates_other;     // with one sample more, of other values
  Trace trains;              // in training mode, with the example
  std::set<size_t> changed;  // states that it changed
};

/// Puts the traces together. \error kInvalidArgument  as ImportNetwork, but for what keeps it from being traced
absl::StatusOr<Imported> Assemble(const Source& source, const std::vector<at::Tensor>& example,
                                  const Traces& traces);

}  // namespace sluice::graph
