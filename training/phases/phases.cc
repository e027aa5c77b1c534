#include "absl/strings/str_cat.h"
#include "training/phases/finetune/finetune.h"
#include "training/phases/phase.h"
#include "training/phases/train/train.h"

namespace sluice {

absl::StatusOr<std::unique_ptr<TrainingPhase>> MakePhase(const proto::Phase& settings) {
  using Result = std::unique_ptr<TrainingPhase>;
  if (settings.kind() == "train") return Result(std::make_unique<TrainPhase>());
  if (settings.kind() == "finetune") return Result(std::make_unique<FinetunePhase>(settings));
  return absl::InvalidArgumentError(
      absl::StrCat("phase kind \"", settings.kind(), "\": expected train or finetune"));
}

}  // namespace sluice
