#pragma once

#include <cstdint>

#include "proto/job.pb.h"

namespace sluice {

/// Samples that all ranks compute in one step: with local steps, several global batches.
inline int64_t SamplesPerStep(const proto::JobConfig& job) {
  return int64_t{job.training().global_batch()} * job.training().local_steps();
}

}  // namespace sluice
