#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/job.pb.h"

namespace sluice {

/// A training program of the user's, which links the library (docs/library.md), in the place of a worker.

/// `job` with this command, the path and arguments that came after `--`; unchanged when there are none.
/// \error kInvalidArgument  a word that a job file cannot hold, or a job that programs cannot have
absl::StatusOr<proto::JobConfig> WithProgram(const proto::JobConfig& job,
                                             const std::vector<std::string>& words);

/// Where the program is on this host: a path as it is, a name without "/" looked for in PATH.
/// \error kNotFound          there is none
/// \error kPermissionDenied  it cannot be executed
absl::StatusOr<std::string> FindTrainingProgram(const proto::JobConfig& job);

/// As a shell would want to have it typed.
std::string CommandText(const proto::JobConfig& job);

/// What `orchestrator worker` does for such a job: starts the program in its own process group, hands it over what it needs
/// to join (SLUICE_SESSION_FD), waits, and passes signals on. A program that ends before it has joined is reported
/// to the coordinator, so that the others need not wait for it.
/// \return the process's exit code: the program's, 128 + signal if it was killed; 78 if it never joined
int RunProgram(const proto::JobConfig& job);

}  // namespace sluice
