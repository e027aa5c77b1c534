#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/job.pb.h"

namespace sluice {

/// What a job has trained, for commands that need no cluster.
struct TrainedModel {
  std::string checkpoint;  ///< ROOT/step_NNNNNNNN
  proto::JobConfig job;    ///< that of the checkpoint, with `sets`
};

/// \param given  a checkpoint itself, or a run's directory or a folder of checkpoints, of which the newest whole one is
///               taken
/// \param sets   key=value, as of --set
/// \error as NewestWhole, ReadManifest and ParseJob
absl::StatusOr<TrainedModel> FindTrainedModel(const std::string& given,
                                              const std::vector<std::string>& sets);

}  // namespace sluice
