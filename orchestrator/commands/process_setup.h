#pragma once

#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/control.pb.h"
#include "proto/job.pb.h"

namespace sluice {

/// What coordinator, worker and profiler have in common at their start.

/// The name that this machine gives itself.
std::string HostName();

/// `bazel run` starts programs in the runfiles tree; paths on the command line are the user's.
absl::Status EnterUserDirectory();

/// From the flags --slot, and the machine.
proto::ProcessInfo ThisProcess(proto::Role role);

/// A sentence that names the launcher, if there was one and it has died.
std::optional<std::string> LauncherGone();

/// Why a process is to end: a sentence that says who wants it, and what to end with.
struct Termination {
  std::string why;
  int exit_code = 0;
  bool launcher_gone = false;  ///< the launcher's death, not the user's signal
  bool alone = false;          ///< this process is to leave, the others go on (kLeaveSignal)
};

/// Calls `on_signal` on a thread of its own for each SIGTERM, SIGINT or kLeaveSignal, and `on_user_signal`, if there is
/// one, for each SIGUSR1. Once per process.
void HandleSignals(std::function<void(const Termination&)> on_signal,
                   std::function<void()> on_user_signal = nullptr);

/// Ends the process with `exit_code` after `seconds`, whatever hangs: the last resort behind an orderly end.
void ExitAfter(int seconds, int exit_code, const std::string& why);

/// The resolved job that --job names.
absl::StatusOr<proto::JobConfig> LoadResolvedJob();

/// HOST:PORT, split. \error kInvalidArgument
absl::StatusOr<std::pair<std::string, uint16_t>> ParseEndpoint(const std::string& text);

/// Logs an error. \return ExitCodeForStatus
int ExitCodeFor(const absl::Status& status);

}  // namespace sluice
