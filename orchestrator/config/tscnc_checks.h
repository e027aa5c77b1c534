#pragma once

#include <string>
#include <vector>

#include "proto/job.pb.h"

namespace sluice {

/// What keeps a phase from running as its `tscnc` says: keys that do not go together, or not with the rest of the
/// job; one line each, naming the key and what to do. Also if another kind of phase sets any of them.
std::vector<std::string> TscncProblems(const proto::JobConfig& job, const proto::Phase& phase);

}  // namespace sluice
