#pragma once

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "proto/job.pb.h"
#include "training/phases/phase.h"
#include "training/trainer.h"

namespace sluice {

using PhaseMaker = std::function<absl::StatusOr<std::unique_ptr<TrainingPhase>>(
    const proto::Phase& settings, Step first, int64_t steps)>;

/// Trainer::Create with phases of other kinds than MakePhase knows, for tests of what a phase may do.
absl::StatusOr<std::unique_ptr<Trainer>> CreateTrainerWithPhases(const proto::JobConfig& job,
                                                                 Rank rank, int world_size,
                                                                 PhaseMaker make_phase);

}  // namespace sluice
