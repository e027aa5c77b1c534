#pragma once

#include <signal.h>
#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace sluice {

/// What fits into a pipe that nobody reads yet, made as large as Linux lets everybody make one.
inline constexpr size_t kStdinBytes = 1000000;

/// What tells a worker to leave the job in good order, while the others go on; and the byte on the standard input of
/// `remote-exec` that makes it send this signal.
inline constexpr int kLeaveSignal = SIGUSR2;
inline constexpr char kLeaveByte = 'L';

/// A program to start: in its own process group unless told otherwise, killed when the launcher's main thread dies.
struct ChildSpec {
  std::string name;               ///< "rank 2", "coordinator": for messages
  std::vector<std::string> argv;  ///< argv[0] is the path
  std::vector<std::pair<std::string, std::string>> environment;  ///< added to ours, wins
  std::vector<std::string> without;  ///< names of ours that the child does not get
  bool own_group = true;
  bool capture_output = true;  ///< stdout and stderr into pipes; false: inherit ours
  /// What the child reads from standard input, then end of file: the way for secrets. At most kStdinBytes.
  std::string stdin_text;
  /// End of file comes not after stdin_text but when Child::stdin_fd is closed: at the latest when this process dies.
  bool keep_stdin_open = false;
  /// Descriptor that the child sees as number 3, -1 = none. The caller keeps its copy.
  int pass_fd = -1;
};

/// A started child. Plain data: the launcher reaps and closes.
struct Child {
  std::string name;
  pid_t pid = -1;
  int stdout_fd = -1;  ///< non-blocking read ends; -1 when not captured
  int stderr_fd = -1;
  int stdin_fd = -1;  ///< write end; -1 unless keep_stdin_open
};

/// \pre called on the process's main thread, which must be the only one (fork)
/// \error kUnavailable  fork or pipe failed; an exec that fails is the child's exit code 127 with a message
absl::StatusOr<Child> StartChild(const ChildSpec& spec);

/// "exited with 1", "was killed by signal 9 (Killed)", from waitpid's status.
std::string DescribeWaitStatus(int status);

/// 128 + signal, or the exit code.
int ExitCodeOf(int status);

}  // namespace sluice
