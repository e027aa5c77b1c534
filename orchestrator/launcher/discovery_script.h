#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "orchestrator/launcher/child_process.h"
#include "orchestrator/launcher/host_list.h"

namespace sluice {

/// A program of the user's that prints the hosts there are, asked again and again: once every kPeriod, one run at a
/// time. The shell runs it (`/bin/sh -c`), so that it may be a command with arguments. What it writes to standard
/// error goes to the log. \threadsafety the launcher's main thread
class DiscoveryScript {
 public:
  static constexpr absl::Duration kPeriod = absl::Seconds(1);

  using Answer = absl::StatusOr<DiscoveredHosts>;

  /// \param command         of the shell, or the path of an executable file
  /// \param slots_per_host  as for ParseDiscoveredHosts
  /// \param timeout         after which a run is killed
  DiscoveryScript(const std::string& command, int slots_per_host,
                  absl::Duration timeout = absl::Seconds(10));
  ~DiscoveryScript();  // kills a run in progress
  DiscoveryScript(const DiscoveryScript&) = delete;

  /// Starts a run that is due, and looks after one in progress. Does not wait.
  /// \return what a run that has ended came to. \error kUnavailable  it ended badly, printed more than
  ///         kMostOutputBytes, took too long, or could not be started: its exit code and the last line of its errors
  std::optional<Answer> Poll();
  /// Waits for the answer of one run.
  Answer Ask();

 private:
  Answer Conclude(int status);

  const std::string command_;  // as given
  std::string line_;           // for the shell
  const int slots_per_host_;
  const absl::Duration timeout_;
  absl::Time due_ = absl::InfinitePast();
  std::optional<Child> running_;
  absl::Time began_;
  bool timed_out_ = false;
  std::string out_, err_;
};

}  // namespace sluice
