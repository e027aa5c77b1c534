#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "orchestrator/launcher/child_process.h"

namespace sluice {

/// How one of several commands ended.
struct CommandResult {
  std::string out, err;    ///< at most kMostOutputBytes each
  int exit_code = -1;      ///< 128 + signal if killed
  bool timed_out = false;  ///< killed after the time limit
  absl::Duration elapsed;
};

inline constexpr size_t kMostOutputBytes = 65536;

/// Appends what a child's pipe has now, kMostOutputBytes in all; closes it at the end of file.
/// \param fd  non-blocking; -1 from then on
void ReadPipe(int& fd, std::string& text);
/// Closes it if it is open; -1 from then on.
void ClosePipe(int& fd);

/// Runs all at once and waits for all, killing what is left after `timeout`. A command that cannot be started has
/// exit code 127 and says why in `err`.
/// \return in the order of `specs`
/// \pre called on the process's main thread, which must be the only one
std::vector<CommandResult> RunAll(const std::vector<ChildSpec>& specs, absl::Duration timeout);

}  // namespace sluice
