#include "training/checkpoint_network.h"

#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "models/torch_guard.h"
#include "models/zoo/zoo.h"
#include "training/checkpoint.h"
#include "training/model_state.h"
#include "training/safetensors.h"
#include "training/trainer_state.h"

namespace sluice {
namespace {

constexpr char kModelFile[] = "model.safetensors";
constexpr char kAverageFile[] = "model_average.safetensors";

// Sets the network to the checkpoint's, to the weights' average if it has one. \return whether it has
absl::StatusOr<bool> Restore(const std::string& path, Network& network) {
  SLUICE_ASSIGN_OR_RETURN(const proto::CheckpointManifest manifest, ReadManifest(path));
  bool average = false;
  for (const proto::CheckpointFile& file : manifest.files()) {
    average = average || file.name() == kAverageFile;
  }
  SLUICE_ASSIGN_OR_RETURN(const std::string bytes,
                          ReadCheckpointFile(path, manifest, average ? kAverageFile : kModelFile));
  SLUICE_ASSIGN_OR_RETURN(const SafeTensors from, ReadSafeTensors(bytes));
  std::vector<SafeTensor> into = ParameterTensors(ParametersInBackwardOrder(network));
  for (SafeTensor& buffer : BufferTensors(network)) into.push_back(std::move(buffer));
  SLUICE_RETURN_IF_ERROR(RestoreTensors(from, into));
  return average;
}

}  // namespace

absl::StatusOr<CheckpointNetwork> LoadCheckpointNetwork(const proto::JobConfig& job,
                                                        const DataShape& shape,
                                                        const std::string& path) {
  CheckpointNetwork trained;
  SLUICE_ASSIGN_OR_RETURN(trained.network, BuildNetwork(job.model(), shape, job.training().seed()));
  const auto restored = TorchGuard("restore", [&] { return Restore(path, *trained.network); });
  if (!restored.ok()) return Annotate(restored.status(), path);
  trained.of_average = *restored;
  return trained;
}

}  // namespace sluice
