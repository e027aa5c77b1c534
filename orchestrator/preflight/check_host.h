#pragma once

#include <string>

#include "nlohmann/json.hpp"
#include "orchestrator/preflight/host_survey.h"

namespace sluice {

/// The hidden subcommand that `orchestrator check` starts on every host.
inline constexpr char kCheckHostCommand[] = "check-host";

/// It ends after so long whatever happens, and when its standard input does.
inline constexpr int kCheckHostSeconds = 40;

// Requests: one line each. Each is answered by a line that begins with kCheckAnswer.

/// -> HostFacts
std::string SurveyLine(const SurveyRequest& request);
/// -> {"time": nanoseconds since 1970}
std::string TimeLine();
/// -> {"port": N} or {"error": ...}. Then one connection is served, until the next request
std::string ListenLine(const std::string& address, const std::string& token);
/// -> {"latency", "to_listener", "from_listener"} in seconds and bytes per second, or {"error": ...}
std::string ConnectLine(const std::string& address, int port, const std::string& token,
                        absl::Duration each_way);

/// `orchestrator check-host`: answers requests from standard input until that ends. \return the exit code
int RunCheckHost();

}  // namespace sluice
