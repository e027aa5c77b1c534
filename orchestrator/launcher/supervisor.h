#pragma once

#include <signal.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "orchestrator/launcher/child_process.h"

namespace sluice {

/// Lines of a captured stream, whole, whatever pieces they arrive in. A carriage return ends a line too, so that
/// progress bars of the child get through.
class LineSplitter {
 public:
  /// \return the lines that `bytes` completes
  std::vector<std::string> Add(absl::string_view bytes);
  /// The unfinished rest, empty if none.
  std::string Flush();

 private:
  std::string rest_;
};

/// Starts children, forwards what they write, waits for them, and leaves none behind.
///
///     running --(a child ends badly)--> settling --(kSettle)--> SIGTERM --(kKill)--> SIGKILL
///        \______(all children ended)_____\__________________________\_______________> over
///
/// The first signal (INT, TERM, HUP) goes to the lead child (the coordinator), which ends the job for all; a
/// second one kills at once. One per process: it owns the signal mask. \threadsafety main thread, the only one
class Supervisor {
 public:
  static constexpr absl::Duration kSettle = absl::Seconds(7);
  static constexpr absl::Duration kKill = absl::Seconds(1);

  /// How everything ended.
  struct Outcome {
    /// The first child that ended badly, empty if none did.
    std::string culprit;
    pid_t culprit_pid = -1;
    int culprit_status = 0;        ///< as waitpid gave it
    int lead_code = 0;             ///< the lead child's exit code, 128 + signal if killed
    int signal = 0;                ///< that the user sent, 0 if none
    bool stopped_by_user = false;  ///< the lead still ran when the signal came
  };

  /// Blocks the signals that it handles.
  static absl::StatusOr<Supervisor> Create();
  Supervisor(Supervisor&& other);
  Supervisor& operator=(Supervisor&&) = delete;
  ~Supervisor();  // kills what still runs

  /// Also gives every line that a child writes to `sink`: the child's name, whether to standard error, the line.
  void SetLineSink(std::function<void(const std::string&, bool, const std::string&)> sink) {
    line_sink_ = std::move(sink);
  }

  /// The first one started is the lead.
  absl::Status Start(const ChildSpec& spec);

  /// Reads one line from `fd`, forwarding output meanwhile.
  /// \error kAborted           a child or the user ended things before
  /// \error kDeadlineExceeded  after `timeout`
  absl::StatusOr<std::string> ReadLine(int fd, absl::Duration timeout);

  /// Runs until every child has ended.
  Outcome Wait();

 private:
  struct Watched {
    Child child;
    LineSplitter out, err;
    bool running = true;
  };

  explicit Supervisor(int signal_fd) : signal_fd_(signal_fd) {}
  void Poll(absl::Duration timeout, int extra_fd, bool* extra_ready);
  void Drain(Watched& watched, bool is_stderr, bool all);
  void Reap();
  void OnSignal(int signal);
  void SignalAll(int signal);
  bool AnyRunning() const;

  int signal_fd_ = -1;
  std::vector<Watched> children_;
  std::function<void(const std::string&, bool, const std::string&)> line_sink_;
  Outcome outcome_;
  absl::Time culprit_ended_;
  absl::Time settle_until_ = absl::InfiniteFuture();
  absl::Time kill_at_ = absl::InfiniteFuture();
};

}  // namespace sluice
