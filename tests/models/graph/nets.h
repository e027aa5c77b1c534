#pragma once

#include <cstdint>
#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "models/graph/graph.h"

namespace sluice::graph {

/// A small network that tests cut in pieces.
struct Net {
  std::string name;
  std::function<Graph()> make;
  size_t prunable = 0;  // classes, with divisor 1
};

inline void PrintTo(const Net& net, std::ostream* out) { *out << net.name; }

/// One of each way in which channels depend on each other.
std::vector<Net> Nets();

/// Layers in a chain, residuals and concatenations, drawn from `seed`.
Graph RandomNet(uint64_t seed);

}  // namespace sluice::graph
