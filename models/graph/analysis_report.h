#pragma once

#include <string>

#include "models/graph/network_analysis.h"

namespace sluice::graph {

/// \name What `orchestrator analyse` shows (docs/pruning.md)
/// @{
std::string AnalysisText(const NetworkAnalysis& analysis);

/// One JSON object on one line.
std::string AnalysisJson(const NetworkAnalysis& analysis);
/// @}

}  // namespace sluice::graph
