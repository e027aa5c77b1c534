#pragma once

#include <string>

#include "training/pruned_network.h"

namespace sluice {

/// A table of the layers, a line per operator that is gone, and one on the whole, ending in a newline.
std::string PrunedText(const PrunedNetwork& pruned, const std::string& checkpoint,
                       const std::string& out);

/// The same as one JSON object without a newline (docs/otov3.md).
std::string PrunedJson(const PrunedNetwork& pruned, const std::string& checkpoint,
                       const std::string& out);

}  // namespace sluice
