#pragma once

#include "absl/status/status.h"
#include "comm/collective/collective_context.h"

namespace sluice {

/// Returns when every rank has called it. Cost: ceil(log2 N) steps of empty messages.
/// Source: Hensgen, Finkel & Manber 1988, "Two algorithms for barrier synchronization"
/// (dissemination).
absl::Status Barrier(const CollectiveContext& context);

}  // namespace sluice
