#pragma once

#include <optional>
#include <string>
#include <vector>

#include "models/graph/axis_analysis.h"
#include "models/graph/graph.h"

namespace sluice::graph {

/// Tells whether a channel whose parameters are zero is zero wherever it is read, for every input: by following what
/// becomes of zeros through the operators (zero, some constant, anything).
///
/// Borrows both arguments. Each question costs one walk over the graph.
class ZeroInvariance {
 public:
  ZeroInvariance(const Graph& graph, const AxisAnalysis& analysis);

  /// Why a unit of `atom` cannot be removed although all parameters that make and scale it are zero; nullopt if it can.
  std::optional<std::string> Breach(AxisId atom) const;

 private:
  const Graph& graph_;
  const AxisAnalysis& analysis_;
  std::vector<std::vector<AxisId>> atoms_;  // [value]: ascending
};

}  // namespace sluice::graph
