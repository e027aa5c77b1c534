#pragma once

#include <cstdint>

#include "proto/job.pb.h"

namespace sluice {

/// Factor on the learning rate at step `step` of a job of `total_steps`. With w = warmup_steps,
/// t = (step - w) / (total_steps - w), f = final_factor:
///
///     step < w    linear      (step + 1) / w
///     after it    constant    1
///                 step        gamma ^ floor((step - w) / step_size)
///                 cosine      f + (1 - f) (1 + cos(pi t)) / 2
///                 polynomial  f + (1 - f) (1 - t) ^ power
///                 one_cycle   t < peak_at: a + (1 - a) (1 - cos(pi t / peak_at)) / 2, a = start_factor
///                             after it:    f + (1 - f) (1 + cos(pi (t - peak_at) / (1 - peak_at))) / 2
///                 the last three are f from the end on
///
/// Momentum does not cycle. A phase that starts later passes its own steps and length.
/// Sources: Loshchilov and Hutter, 2017, "SGDR" (cosine, one period); Smith and Topin, 2018,
/// "Super-convergence" (one cycle, here with cosines for lines).
/// \pre schedule.kind() is one of the five
double LearningRateFactor(const proto::Schedule& schedule, int64_t step, int64_t total_steps);

}  // namespace sluice
