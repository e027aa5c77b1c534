#pragma once

#include "absl/status/status.h"

namespace sluice {

/// What the processes end with (docs/operations.md).
inline constexpr int kExitOk = 0;
inline constexpr int kExitTraining = 1;      ///< training failed, or a process died
inline constexpr int kExitUsage = 2;         ///< wrong command line
inline constexpr int kExitUnreachable = 69;  ///< not enough processes in time
inline constexpr int kExitBug = 70;          ///< an error of ours
inline constexpr int kExitStorage = 74;  ///< a file cannot be written, or its content is damaged
inline constexpr int kExitRetry =
    75;  ///< too few workers, or too many changes: trying again may help
inline constexpr int kExitPermission = 77;  ///< credentials or ssh: missing, refused or expired
inline constexpr int kExitConfig = 78;  ///< job file, missing data, or a mismatch between processes
inline constexpr int kExitInterrupted = 130;  ///< SIGINT
inline constexpr int kExitTerminated = 143;   ///< SIGTERM

/// Bad or missing input 78, credentials 77, storage 74, our bug 70, else 1; 0 for OK.
int ExitCodeForStatus(const absl::Status& status);

}  // namespace sluice
