#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "orchestrator/launcher/child_process.h"
#include "orchestrator/launcher/command_batch.h"

namespace sluice {

/// Processes that answer each line on their standard input by one line, all at once: check-host on each host.
/// \pre SIGPIPE is ignored
/// \threadsafety the process's main thread, which must be the only one
class HostSessions {
 public:
  /// Starts all. One that cannot be started is over, with exit code 127.
  /// \pre every spec has keep_stdin_open and captures its output
  explicit HostSessions(const std::vector<ChildSpec>& specs);
  HostSessions(const HostSessions&) = delete;
  /// Ends their standard input, and kills those that are still there a second later.
  ~HostSessions();

  struct Answer {
    nlohmann::json object;  ///< null if none came
    absl::Time sent, arrived;
    bool came() const { return object.is_object(); }
  };

  /// Sends each host its line and waits for all answers, or the ends of processes. Hosts whose line is empty, and those
  /// that are over or did not answer before, are left out.
  /// \return by host
  std::vector<Answer> Ask(const std::vector<std::string>& lines, absl::Time deadline);

  /// How a host's process ended, or what it wrote so far; timed_out: a question was not answered.
  const CommandResult& result(size_t host) const { return sessions_[host].result; }
  /// Whether the process is there and has answered everything.
  bool lives(size_t host) const { return !sessions_[host].over && !sessions_[host].silent; }

 private:
  struct Session {
    Child child;
    bool over = false;
    bool silent = false;  ///< an answer may still come: not to be taken for the next one
    std::string pending;  ///< of standard output: what is no whole line yet
    CommandResult result;
  };
  void Reap(Session& session);

  std::vector<Session> sessions_;
  absl::Time begin_;
};

}  // namespace sluice
