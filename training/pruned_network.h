#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/job.pb.h"

namespace sluice {

// The torch-free door to networks that pruning has made smaller.

/// What became of a trained network without the groups of weights that are zero.
struct PrunedNetwork {
  struct Layer {
    std::string name;  ///< of the first weight that makes these channels
    int64_t units = 0;
    int64_t kept = 0;
  };
  struct Operator {
    std::string name;  ///< of its modules
    int64_t parameters = 0;
  };
  std::vector<Operator> erased;  ///< operators that are gone as a whole
  std::vector<Layer> layers;     ///< of all else that could be pruned
  int64_t parameters = 0, parameters_before = 0;
  int64_t macs = 0, macs_before = 0;  ///< multiplications of one sample
  double difference =
      0;  ///< largest one of the outputs of random inputs, relative to the largest output
  bool of_average = false;  ///< of the weights' average, which the checkpoint has
};

/// Writes the checkpoint's network without what is exactly zero, as TorchScript: for other programs, and for a job's
/// `model.torchscript`, whose gradients are smaller then. First go operators that are zero as a whole, as far as a network
/// is left, then channels of what remains. Both networks are evaluated and compared before it is written. A layer that is
/// zero as a whole, and not erased, keeps one unit.
/// \param path  ROOT/step_NNNNNNNN
/// \param out   the file; what is there is replaced at once when all is well
/// \error as LoadCheckpointNetwork, LoadDatasets, FindErasable, FindPrunable and WriteDurably
/// \error kInternal  the smaller network computes something else
absl::StatusOr<PrunedNetwork> WritePrunedNetwork(const proto::JobConfig& job,
                                                 const std::string& path, const std::string& out);

}  // namespace sluice
