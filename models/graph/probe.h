#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "models/graph/axis_analysis.h"
#include "models/graph/channel_classes.h"
#include "models/graph/evaluator.h"
#include "models/graph/imported.h"
#include "models/graph/stretches.h"

namespace sluice::graph {

struct ProbeOptions {
  uint64_t seed = 1;
  double share = 0.3;  ///< of each class's units; at least one goes, at least one stays
  Evaluator::Precision precision = Evaluator::Precision::kDouble;
  double tolerance = 1e-9;  ///< of the outputs' largest element; 1e-5 suits fp32
};

struct ProbeResult {
  std::vector<double> differences;  // by class or stretch: relative; 0 where it is not tried
  double together = 0;              // of all that can go at once
};

/// Tries what the analysis says: for each prunable class, the network with some units' groups at zero and the network
/// without these units are evaluated with `inputs` and compared; then all classes at once. A class that fails, or whose
/// smaller network does not run, gets a reason and is no longer prunable.
///
/// Two evaluations per class. The units are a function of (seed, class id).
/// \param classes  FindClasses' of the same graph
/// \error kInternal  all classes together differ where each alone does not
/// \error as Evaluator
absl::StatusOr<ProbeResult> Probe(const Imported& imported, const AxisAnalysis& analysis,
                                  const std::vector<at::Tensor>& inputs,
                                  const ProbeOptions& options, std::vector<ChannelClass>* classes);

/// The same for stretches that can be erased: each is tried alone, then as many as can go together, the first of the
/// graph first. One that fails, or without which the network is none, gets a reason and can no longer be erased.
/// \param stretches  FindStretches' of the same graph
/// \error as Probe
absl::StatusOr<ProbeResult> ProbeErasures(const Imported& imported, const AxisAnalysis& analysis,
                                          const std::vector<at::Tensor>& inputs,
                                          const ProbeOptions& options,
                                          std::vector<Stretch>* stretches);

}  // namespace sluice::graph
