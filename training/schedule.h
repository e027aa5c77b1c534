#pragma once

#include <cstdint>

#include "proto/job.pb.h"

namespace sluice {

/// Factor on the learning rate at step `step` of a job of `total_steps`. With w = warmup_steps:
///
///     step < w   linear     (step + 1) / w
///     after it   constant   1
///                cosine     (1 + cos(pi t)) / 2, t = (step - w) / (total_steps - w); 0 from the
///                end on step       gamma ^ floor((step - w) / step_size)
///
/// \pre schedule.kind() is one of the three
double LearningRateFactor(const proto::Schedule& schedule, int64_t step, int64_t total_steps);

}  // namespace sluice
