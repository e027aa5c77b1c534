#pragma once

#include <signal.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "orchestrator/launcher/child_process.h"
#include "orchestrator/launcher/restart_pause.h"

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

class Supervisor;

/// Decides who runs, and where, while children come and go. Called from Supervisor::Wait.
class Roster {
 public:
  virtual ~Roster() = default;
  /// `name` has ended. \param again  it is to be started again
  virtual void OnEnded(const std::string& name, int status, bool again) = 0;
  /// The pause before `name` is started again is over. \return how; nullopt: there is no place for it, ask again
  virtual std::optional<ChildSpec> Again(const std::string& name) = 0;
  /// Several times a second while nothing ends the job. May start and retire children.
  virtual void OnTick(Supervisor& supervisor) = 0;
};

/// Starts children, forwards what they write, waits for them, and leaves none behind.
///
///     running --(a child ends badly, and is not started again)--> settling --(kSettle)--> SIGTERM --(kKill)--> SIGKILL
///        \______(all children ended)_____\__________________________\_______________> over
///
/// With restarts, a child that was killed or crashed is started again after a RestartPause; the others go on. The lead
/// only if there is a way, and none that ended because its command line or configuration is wrong. When none is left
/// to go on, that ends everything.
///
/// The first signal (INT, TERM, HUP) goes to the lead child (the coordinator), which ends the job for all; a
/// second one kills at once. SIGUSR1 goes to
/// the lead as it is. One per process: it owns the signal mask. \threadsafety main thread, the only one
class Supervisor {
 public:
  static constexpr absl::Duration kSettle = absl::Seconds(7);
  static constexpr absl::Duration kKill = absl::Seconds(1);
  static constexpr absl::Duration kTick = absl::Milliseconds(100);      ///< of a roster
  static constexpr absl::Duration kAskAgain = absl::Milliseconds(500);  ///< for a place

  /// How everything ended.
  struct Outcome {
    /// The first child that ended badly, empty if none did.
    std::string culprit;
    pid_t culprit_pid = -1;
    int culprit_status = 0;        ///< as waitpid gave it
    int lead_code = 0;             ///< the lead child's exit code, 128 + signal if killed
    bool lead_killed = false;      ///< by a signal
    int signal = 0;                ///< that the user sent, 0 if none
    bool stopped_by_user = false;  ///< the lead still ran when the signal came
  };

  /// Blocks the signals that it handles.
  static absl::StatusOr<Supervisor> Create();
  Supervisor(Supervisor&& other);
  Supervisor& operator=(Supervisor&&) = delete;
  ~Supervisor();  // kills what still runs

  /// From now on a child's end does not end the others, and it is started again, `limit` times in all.
  void AllowRestarts(int limit) {
    restarting_ = true;
    restarts_left_ = limit;
  }
  /// The lead is started again too, as `spec`, when it was killed or crashed. Counts as a restart.
  void AllowLeadRestart(ChildSpec spec) { lead_again_ = std::move(spec); }

  /// From now on `roster` is asked where a child is started again. \param roster  must outlive Wait
  void SetRoster(Roster* roster) { roster_ = roster; }

  /// How long the lead may take to end the job after the first signal, beyond kSettle.
  void SetGrace(absl::Duration grace) { grace_ = grace; }

  /// Also gives every line that a child writes to `sink`: the child's name, whether to standard error, the line.
  void SetLineSink(std::function<void(const std::string&, bool, const std::string&)> sink) {
    line_sink_ = std::move(sink);
  }

  /// The first one started is the lead. A name may be used again once its child has ended.
  absl::Status Start(const ChildSpec& spec);

  /// Tells a child to leave in good order (kLeaveSignal), and kills it after `grace`. It is not started again,
  /// and however it ends is nobody's fault. \return false, and nothing is done: it does not run
  bool Retire(const std::string& name, absl::Duration grace);

  /// Reads one line from `fd`, forwarding output meanwhile.
  /// \error kAborted           a child or the user ended things before
  /// \error kDeadlineExceeded  after `timeout`
  absl::StatusOr<std::string> ReadLine(int fd, absl::Duration timeout);

  /// Runs until every child has ended.
  Outcome Wait();

 private:
  struct Watched {
    ChildSpec spec;
    Child child;
    LineSplitter out, err;
    bool running = true;
    absl::Time started = absl::InfinitePast();
    RestartPause pause;
    absl::Time restart_at = absl::InfiniteFuture();
    bool retired = false;
    absl::Time kill_at = absl::InfiniteFuture();  // of a retired one
  };

  explicit Supervisor(int signal_fd) : signal_fd_(signal_fd) {}
  void Poll(absl::Duration timeout, int extra_fd, bool* extra_ready);
  void Drain(Watched& watched, bool is_stderr, bool all);
  void Reap();
  bool MayRestart(size_t index, int status) const;
  void RestartDue();
  void KillOverdue();
  void Launch(Watched& watched, Child child);
  bool Ending() const;
  bool RestartLead(int status);
  void OnSignal(int signal);
  void SignalAll(int signal);
  bool AnyRunning() const;
  bool AnyFollower() const;

  int signal_fd_ = -1;
  std::vector<Watched> children_;
  std::function<void(const std::string&, bool, const std::string&)> line_sink_;
  Outcome outcome_;
  absl::Duration grace_;
  std::optional<ChildSpec> lead_again_;
  Roster* roster_ = nullptr;
  bool restarting_ = false;
  int restarts_left_ = 0;
  absl::Time culprit_ended_;
  absl::Time settle_until_ = absl::InfiniteFuture();
  absl::Time kill_at_ = absl::InfiniteFuture();
};

}  // namespace sluice
