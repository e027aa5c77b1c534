#pragma once

#include <map>
#include <string>

#include "orchestrator/config/error_list.h"
#include "proto/job.pb.h"

namespace sluice {

/// What the rules of single fields cannot say: which values do not go together, and that the job's
/// name can be part of a folder's. \param origins  where each key was set, by path; absent = by
/// default
void CheckJob(const proto::JobConfig& job, const std::map<std::string, std::string>& origins,
              ErrorList& errors);

}  // namespace sluice
