#pragma once

#include <cstdint>
#include <string>

#include "proto/job.pb.h"

namespace sluice {

/// The job as resolved: every key with its value. Reading it back gives an equal job.
std::string JobToYaml(const proto::JobConfig& job);

/// XXH3 of the deterministic serialisation: equal on all processes that were given equal jobs.
uint64_t JobDigest(const proto::JobConfig& job);

}  // namespace sluice
