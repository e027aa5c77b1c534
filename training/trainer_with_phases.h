#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "proto/job.pb.h"
#include "training/phases/phase.h"
#include "training/trainer.h"

namespace sluice {

/// Trainer::Create with phases of other kinds than AllPhases has, for tests of what a phase may do.
absl::StatusOr<std::unique_ptr<Trainer>> CreateTrainerWithPhases(const proto::JobConfig& job,
                                                                 Rank rank, int world_size,
                                                                 PhaseMaker make_phase);

}  // namespace sluice
