#pragma once

#include <string>
#include <vector>

#include "proto/job.pb.h"

namespace sluice {

/// What keeps a phase from running as its `otov3` says: shares that contradict each other, a phase too short for them;
/// one line each, naming the key. Also if another kind of phase sets any of them.
std::vector<std::string> Otov3Problems(const proto::Phase& phase);

}  // namespace sluice
