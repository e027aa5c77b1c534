#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "models/graph/axis_analysis.h"
#include "models/graph/channel_classes.h"
#include "models/graph/graph.h"
#include "proto/job.pb.h"

namespace sluice::graph {

/// Which network to look at, and how.
struct AnalysisRequest {
  proto::Model model;  // by name or a TorchScript file
  std::vector<std::vector<int64_t>>
      examples;          // an input's extents without the batch; one number = tokens
  int64_t classes = 10;  // of a network of the zoo; of tokens, the vocabulary
  ClassOptions options;
};

/// What can be pruned in a network. Without LibTorch.
struct NetworkAnalysis {
  /// What would be left without `share` of the units of every class that can be pruned.
  struct Smaller {
    double share = 0;
    int64_t parameters = 0;
    int64_t macs = 0;
  };

  std::string name;
  Graph graph;
  AxisAnalysis axes;
  std::vector<ChannelClass> classes;
  std::vector<std::string> unsupported;  // operators without a rule, and why
  std::vector<std::string> notes;
  int64_t parameters = 0;  // elements that are trained, tied ones once
  int64_t in_groups = 0;   // of them, those of units that can be removed
  int64_t macs = 0;        // multiplications of one sample
  std::vector<Smaller> smaller;
};

/// Builds or loads the network, imports it, finds its classes and probes them: what `orchestrator analyse` shows, and a
/// dry run of pruning. Weights of a network of the zoo are random: what can be pruned does not depend on them.
/// \error kInvalidArgument  no examples, extents below 1; as BuildNetwork and ImportNetwork
/// \error as ImportScriptFile, Probe
absl::StatusOr<NetworkAnalysis> AnalyseNetwork(const AnalysisRequest& request);

}  // namespace sluice::graph
