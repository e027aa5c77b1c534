#include <memory>

#include "absl/strings/str_cat.h"
#include "training/phases/finetune/finetune.h"
#include "training/phases/otov3/otov3.h"
#include "training/phases/otov3/prune_space.h"
#include "training/phases/phase.h"
#include "training/phases/train/train.h"
#include "training/phases/tscnc/tscnc.h"

namespace sluice {

PhaseMaker AllPhases() {
  using Result = std::unique_ptr<TrainingPhase>;
  return [spaces = std::make_shared<otov3::PruneSpaces>()](
             const proto::Phase& settings, Step first, int64_t steps) -> absl::StatusOr<Result> {
    if (settings.kind() == "train") return Result(std::make_unique<TrainPhase>());
    if (settings.kind() == "finetune") return Result(std::make_unique<FinetunePhase>(settings));
    if (settings.kind() == "tscnc") return TscncPhase::Create(settings, first, steps);
    if (settings.kind() == "otov3") return Otov3Phase::Create(settings, first, steps, spaces);
    return absl::InvalidArgumentError(absl::StrCat(
        "phase kind \"", settings.kind(), "\": expected train, finetune, tscnc or otov3"));
  };
}

}  // namespace sluice
