#pragma once

#include <algorithm>
#include <cstdint>

#include "proto/job.pb.h"

namespace sluice {

/// The step from which on the plan made for the window that ends with `last_step` is followed: a
/// function of the job alone (docs/adr/0003).
inline int64_t EffectiveStep(const proto::Compression& config, int64_t last_step) {
  return std::max<int64_t>(config.warmup_steps(), last_step + 1 + config.lead_steps());
}

}  // namespace sluice
