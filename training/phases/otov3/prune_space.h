#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "absl/status/statusor.h"
#include "models/graph/groups.h"
#include "proto/job.pb.h"
#include "training/phases/phase.h"

namespace sluice::otov3 {

/// What can be pruned of one network: found when it is first asked for, and kept, since finding it takes a while and a
/// network that trains in a job (frozen in parts, with statistics shared over ranks) cannot be traced any more.
class PruneSpaces {
 public:
  /// Its zero-invariant groups. A function of the network's structure alone: the same on all ranks.
  /// \error kInvalidArgument  nothing of it can be pruned; \error as FindPrunable
  absl::StatusOr<std::vector<graph::Group>> GroupsOf(const PhaseModel& model,
                                                     const proto::Otov3& settings);

 private:
  std::map<int64_t, std::vector<graph::Group>> by_divisor_;
};

}  // namespace sluice::otov3
