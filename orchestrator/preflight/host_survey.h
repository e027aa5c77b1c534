#pragma once

#include <string>

#include "orchestrator/preflight/host_facts.h"

namespace sluice {

/// What the asker wants to know of a machine.
struct SurveyRequest {
  std::string directory;  ///< where workers start; empty: do not look
  std::string folder;     ///< where files will be, relative to it; empty: do not look
  std::string interface;  ///< empty: the address that ssh came to, else one that is not loopback
  bool gpus = true;
};

/// Looks at this machine. Writes and removes a small file in the folder, or, where that will have to be made, in the nearest
/// one above it; enters the directory. Takes up to a second or so where there are GPUs.
HostFacts SurveyHost(const SurveyRequest& request);

}  // namespace sluice
