#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "orchestrator/preflight/check_table.h"
#include "orchestrator/preflight/host_facts.h"

namespace sluice {

/// What is to run on a host, and what is known of it.
struct CheckedHost {
  std::string name;  ///< as the user wrote it
  int slots = 1;
  HostFacts facts;
  absl::Duration clock_ahead;        ///< of this machine's
  absl::Duration clock_uncertainty;  ///< half of the fastest round trip
};

/// Below these a check fails or is remarked on (docs/operations.md lists them).
inline constexpr int64_t kShmPerSlot = 16 << 20;
inline constexpr int64_t kMemoryPerSlot = 512 << 20;
inline constexpr int64_t kLockedForRdma = 64 << 20;
inline constexpr int64_t kFolderFree = 1 << 30;
inline constexpr absl::Duration kClockRemark = absl::Milliseconds(500);
inline constexpr absl::Duration kClockFailure = absl::Seconds(60);

/// Files that a process of a job of `workers` may have open: a few hundred, and some for each partner.
int64_t OpenFilesNeeded(int workers);

/// The verdict on all that hosts tell of themselves; `self` is what this program, here, tells: the one that the others
/// are to be like. Pure.
std::vector<CheckRow> JudgeHosts(const HostFacts& self, const std::vector<CheckedHost>& hosts);

}  // namespace sluice
