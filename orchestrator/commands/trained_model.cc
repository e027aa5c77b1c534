#include "orchestrator/commands/trained_model.h"

#include <filesystem>
#include <system_error>

#include "base/status_macros.h"
#include "orchestrator/config/job_loader.h"
#include "orchestrator/config/job_writer.h"
#include "training/checkpoint.h"

namespace sluice {
namespace {

bool Exists(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

absl::StatusOr<std::string> CheckpointAt(const std::string& given) {
  const std::filesystem::path path(given);
  if (Exists(path / kManifestName)) return given;
  const std::filesystem::path of_run = path / "checkpoints";
  SLUICE_ASSIGN_OR_RETURN(const WholeCheckpoint newest,
                          NewestWhole(Exists(of_run) ? of_run.string() : given));
  return newest.path;
}

}  // namespace

absl::StatusOr<TrainedModel> FindTrainedModel(const std::string& given,
                                              const std::vector<std::string>& sets) {
  TrainedModel model;
  SLUICE_ASSIGN_OR_RETURN(model.checkpoint, CheckpointAt(given));
  SLUICE_ASSIGN_OR_RETURN(const proto::CheckpointManifest manifest, ReadManifest(model.checkpoint));
  SLUICE_ASSIGN_OR_RETURN(
      model.job, ParseJob(JobToYaml(manifest.job()), JobFormat::kYaml, model.checkpoint, sets));
  return model;
}

}  // namespace sluice
