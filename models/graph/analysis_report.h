#pragma once

#include <string>

#include "models/graph/network_analysis.h"

namespace sluice::graph {

/// \name What `orchestrator analyse` shows (docs/pruning.md)
/// @{
std::string AnalysisText(const NetworkAnalysis& analysis);

/// One JSON object on one line.
std::string AnalysisJson(const NetworkAnalysis& analysis);

/// The graph for Graphviz: operators are boxes, edges are tensors with their shapes; layers that a class of channels which
/// can be pruned is made by have its colour.
std::string AnalysisDot(const NetworkAnalysis& analysis);
/// @}

}  // namespace sluice::graph
