#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "models/data/data_shape.h"
#include "models/zoo/network.h"
#include "proto/job.pb.h"

namespace sluice {

/// A trained network.
struct CheckpointNetwork {
  std::shared_ptr<Network> network;
  bool of_average = false;  ///< its weights are the average that the checkpoint has
};

/// Builds the job's network and gives it the checkpoint's weights: their average if there is one.
/// \param shape  of the job's samples
/// \param path   ROOT/step_NNNNNNNN
/// \error as BuildNetwork, ReadManifest and ReadCheckpointFile; kInvalidArgument for weights of another network
absl::StatusOr<CheckpointNetwork> LoadCheckpointNetwork(const proto::JobConfig& job,
                                                        const DataShape& shape,
                                                        const std::string& path);

}  // namespace sluice
