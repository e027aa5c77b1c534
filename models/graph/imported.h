#pragma once

#include <string>
#include <vector>

#include "models/graph/graph.h"
#include "models/graph/program.h"

namespace sluice::graph {

/// A network as what is analysed, and as what is run, cut and saved. Graph::nodes[i] is the step with `node` i.
struct Imported {
  Graph graph;
  Program program;
  /// What the user should know, e.g. that batch norm's mode was fixed by tracing.
  std::vector<std::string> notes;
};

}  // namespace sluice::graph
