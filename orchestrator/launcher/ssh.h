#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "orchestrator/launcher/command_batch.h"

namespace sluice {

/// How other hosts are reached.
struct SshOptions {
  std::string program;        ///< path of ssh
  int port = 0;               ///< 0 = ssh's own choice
  std::string identity_file;  ///< empty = ssh's own choice, or its agent's
  bool accept_new = false;    ///< trust a host that is seen for the first time
};

/// The path of `name` in PATH. \error kNotFound
absl::StatusOr<std::string> FindProgram(const std::string& name);

/// `text` as one word of a POSIX shell: what sshd gives to the login shell.
std::string ShellQuoted(absl::string_view text);

/// ssh's command line that runs `command` on `host`: no prompt ever, host keys checked, dead connections noticed
/// after 15 s.
std::vector<std::string> SshArgv(const SshOptions& options, const std::string& host,
                                 const std::vector<std::string>& command);

/// What a host answers to `orchestrator remote-exec --probe`.
struct RemoteHost {
  std::string version;
  std::string our_address;  ///< of this machine, as that host sees it; empty if ssh did not tell
};

/// The answer of this process, for ProbeHosts there. \return one line, without its end
std::string ProbeAnswer();

/// The inverse of ProbeAnswer. \error kDataLoss
absl::StatusOr<RemoteHost> ParseProbeAnswer(absl::string_view line);

/// Asks all hosts at once whether they can start `program`.
/// \error kUnavailable       every host that could not be reached, with ssh's own words and what to try
/// \error kUnauthenticated   the same, where ssh's keys are the only reason
/// \error kFailedPrecondition hosts without the program, or with another version: all of them
absl::StatusOr<std::vector<RemoteHost>> ProbeHosts(const SshOptions& options,
                                                   const std::vector<std::string>& hosts,
                                                   const std::string& program,
                                                   absl::Duration timeout);

/// Why `program` did not run on one host, in one line.
/// \return OK if it ended well, kUnavailable, kUnauthenticated, or kFailedPrecondition if ssh got there
absl::Status JudgeSsh(const SshOptions& options, const std::string& host,
                      const CommandResult& result);

/// ssh's command line for people who want to try by hand.
std::string TryLine(const SshOptions& options, const std::string& host);

/// ProbeHosts's verdict on what `hosts` answered: pure, by index.
absl::StatusOr<std::vector<RemoteHost>> JudgeProbes(const SshOptions& options,
                                                    const std::vector<std::string>& hosts,
                                                    const std::string& program,
                                                    absl::Span<const CommandResult> results);

}  // namespace sluice
