#include "orchestrator/launcher/supervisor.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/exit_codes.h"
#include "base/log.h"

namespace sluice {

std::vector<std::string> LineSplitter::Add(absl::string_view bytes) {
  std::vector<std::string> lines;
  for (char c : bytes) {
    if (c != '\n' && c != '\r') {
      rest_ += c;
    } else if (!rest_.empty() || c == '\n') {
      lines.push_back(std::move(rest_));
      rest_.clear();
    }
  }
  return lines;
}

std::string LineSplitter::Flush() { return std::exchange(rest_, {}); }

absl::StatusOr<Supervisor> Supervisor::Create() {
  sigset_t mask;
  sigemptyset(&mask);
  signal(SIGCHLD, SIG_DFL);  // a parent that ignored it would have children reap themselves
  sigaddset(&mask, SIGCHLD);
  for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) {
    // nohup, or a shell's background job: what was ignored stays ignored.
    struct sigaction inherited;
    sigaction(signal, nullptr, &inherited);
    if (inherited.sa_handler != SIG_IGN) sigaddset(&mask, signal);
  }
  if (sigprocmask(SIG_BLOCK, &mask, nullptr) != 0) {
    return absl::InternalError(absl::StrCat("sigprocmask: ", std::strerror(errno)));
  }
  const int fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) return absl::InternalError(absl::StrCat("signalfd: ", std::strerror(errno)));
  return Supervisor(fd);
}

Supervisor::Supervisor(Supervisor&& other)
    : signal_fd_(std::exchange(other.signal_fd_, -1)),
      children_(std::exchange(other.children_, {})),
      line_sink_(std::move(other.line_sink_)),
      outcome_(other.outcome_),
      grace_(other.grace_),
      lead_again_(std::move(other.lead_again_)),
      roster_(other.roster_),
      restarting_(other.restarting_),
      restarts_left_(other.restarts_left_) {}

Supervisor::~Supervisor() {
  SignalAll(SIGKILL);
  for (Watched& watched : children_) {
    if (watched.running) waitpid(watched.child.pid, nullptr, 0);
    for (int fd : {watched.child.stdout_fd, watched.child.stderr_fd, watched.child.stdin_fd}) {
      if (fd >= 0) close(fd);
    }
  }
  if (signal_fd_ >= 0) close(signal_fd_);
}

absl::Status Supervisor::Start(const ChildSpec& spec) {
  auto child = StartChild(spec);
  if (!child.ok()) return child.status();
  SLUICE_LOG(Debug, "started ", spec.name, ", pid ", child->pid);
  Watched watched;
  watched.spec = spec;
  Launch(watched, *std::move(child));
  const auto ended = std::find_if(children_.begin(), children_.end(), [&](const Watched& one) {
    return one.spec.name == spec.name && !one.running && one.restart_at == absl::InfiniteFuture();
  });
  if (ended == children_.end()) {
    children_.push_back(std::move(watched));
  } else {
    *ended = std::move(watched);
  }
  return absl::OkStatus();
}

void Supervisor::Launch(Watched& watched, Child child) {
  watched.child = std::move(child);
  watched.running = true;
  watched.started = absl::Now();
}

bool Supervisor::Retire(const std::string& name, absl::Duration grace) {
  for (Watched& watched : children_) {
    if (watched.spec.name != name) continue;
    if (!watched.running) return false;
    watched.retired = true;
    watched.restart_at = absl::InfiniteFuture();
    watched.kill_at = absl::Now() + grace;
    // On another host remote-exec passes it on.
    if (watched.child.stdin_fd < 0) {
      kill(watched.child.pid, kLeaveSignal);
    } else if (write(watched.child.stdin_fd, &kLeaveByte, 1) != 1) {
      watched.kill_at = absl::Now();
    }
    return true;
  }
  return false;
}

// Retired ones that did not leave.
void Supervisor::KillOverdue() {
  for (Watched& watched : children_) {
    if (!watched.running || absl::Now() < watched.kill_at) continue;
    if (watched.child.stdin_fd >= 0) {  // remote-exec ends it, and has a little time for that
      SLUICE_LOG(Warning, watched.child.name, " did not leave in time: it is ended");
      close(std::exchange(watched.child.stdin_fd, -1));
      watched.kill_at = absl::Now() + kSettle;
      continue;
    }
    SLUICE_LOG(Warning, watched.child.name, " (pid ", watched.child.pid,
               ") did not leave in time: it is killed");
    watched.kill_at = absl::InfiniteFuture();
    kill(-watched.child.pid, SIGKILL);
  }
}

// Nobody is started any more.
bool Supervisor::Ending() const {
  return outcome_.signal != 0 || settle_until_ != absl::InfiniteFuture() ||
         kill_at_ != absl::InfiniteFuture() || children_.empty() || !children_.front().running;
}

bool Supervisor::AnyRunning() const {
  return std::any_of(children_.begin(), children_.end(),
                     [](const Watched& w) { return w.running; });
}

// Besides the lead: running, or about to.
bool Supervisor::AnyFollower() const {
  return std::any_of(children_.begin() + 1, children_.end(), [](const Watched& w) {
    return w.running || w.restart_at != absl::InfiniteFuture();
  });
}

bool Supervisor::MayRestart(size_t index, int status) const {
  const int code = ExitCodeOf(status);
  const bool hopeless = code == kExitUsage || code == kExitConfig || code == 126 || code == 127;
  return index > 0 && status != 0 && !hopeless && restarts_left_ > 0 && !Ending();
}

// At once: members look for it only for so long.
bool Supervisor::RestartLead(int status) {
  if (!lead_again_.has_value() || !WIFSIGNALED(status) || restarts_left_ <= 0 ||
      outcome_.signal != 0 || settle_until_ != absl::InfiniteFuture()) {
    return false;
  }
  auto child = StartChild(*lead_again_);
  if (!child.ok()) return false;
  --restarts_left_;
  Watched& lead = children_.front();
  SLUICE_LOG(Warning, lead.child.name, " (pid ", lead.child.pid, ") ", DescribeWaitStatus(status),
             "; started it again, pid ", child->pid);
  Launch(lead, *std::move(child));
  return true;
}

void Supervisor::RestartDue() {
  for (Watched& watched : children_) {
    if (watched.restart_at > absl::Now()) continue;
    watched.restart_at = absl::InfiniteFuture();
    if (!children_.front().running || outcome_.signal != 0) continue;
    if (roster_ != nullptr) {
      std::optional<ChildSpec> spec = roster_->Again(watched.spec.name);
      if (!spec.has_value()) {
        watched.restart_at = absl::Now() + kAskAgain;
        continue;
      }
      watched.spec = *std::move(spec);
    }
    auto child = StartChild(watched.spec);
    if (!child.ok()) {
      SLUICE_LOG(Error, child.status().message());
      continue;
    }
    SLUICE_LOG(Info, "started ", watched.spec.name, " again, pid ", child->pid, "; ",
               restarts_left_, " restarts left");
    Launch(watched, *std::move(child));
  }
}

void Supervisor::SignalAll(int signal) {
  for (const Watched& watched : children_) {
    if (watched.running) kill(-watched.child.pid, signal);
  }
}

void Supervisor::Drain(Watched& watched, bool is_stderr, bool all) {
  int& fd = is_stderr ? watched.child.stderr_fd : watched.child.stdout_fd;
  LineSplitter& splitter = is_stderr ? watched.err : watched.out;
  const std::string prefix =
      absl::StrCat("[", watched.child.name, "]<", is_stderr ? "stderr" : "stdout", ">:");
  const auto print = [&](const std::string& line) {
    // Always standard error: standard output is the coordinator's.
    std::fprintf(stderr, "%s%s\n", prefix.c_str(), line.c_str());
    if (line_sink_) line_sink_(watched.child.name, is_stderr, line);
  };
  char buffer[16384];
  while (fd >= 0) {
    const ssize_t n = read(fd, buffer, sizeof(buffer));
    if (n > 0) {
      for (const std::string& line : splitter.Add({buffer, static_cast<size_t>(n)})) print(line);
      if (!all) return;  // let other children have their turn
      continue;
    }
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      if (!all) return;
    }
    // End of file, or a dead child whose grandchild holds the pipe.
    if (std::string rest = splitter.Flush(); !rest.empty()) print(rest);
    close(fd);
    fd = -1;
  }
}

void Supervisor::Reap() {
  for (size_t i = 0; i < children_.size(); ++i) {
    Watched& watched = children_[i];
    int status = 0;
    if (!watched.running) continue;
    const pid_t reaped = waitpid(watched.child.pid, &status, WNOHANG);
    if (reaped == 0 || (reaped < 0 && errno != ECHILD)) continue;
    watched.running = false;
    Drain(watched, false, true);
    Drain(watched, true, true);
    if (watched.child.stdin_fd >= 0) close(std::exchange(watched.child.stdin_fd, -1));
    kill(-watched.child.pid, SIGKILL);  // grandchildren in its group, if any
    if (i == 0) {
      outcome_.lead_code = ExitCodeOf(status);
      outcome_.lead_killed = WIFSIGNALED(status);
    }
    SLUICE_LOG(Debug, watched.child.name, " (pid ", watched.child.pid, ") ",
               DescribeWaitStatus(status));
    if (i == 0 && RestartLead(status)) continue;
    const bool again = !watched.retired && MayRestart(i, status);
    if (again) {
      --restarts_left_;
      const absl::Duration pause = watched.pause.Next(absl::Now() - watched.started);
      watched.restart_at = absl::Now() + pause;
      SLUICE_LOG(Warning, "SL2103 ", watched.child.name, " (pid ", watched.child.pid, ") ",
                 DescribeWaitStatus(status), "; starting it again in ",
                 absl::FormatDuration(pause));
    }
    if (roster_ != nullptr) roster_->OnEnded(watched.spec.name, status, again);
    if (again || watched.retired) continue;
    // Without its lead nothing can go on, however that ended.
    if (i == 0 || (status != 0 && (!restarting_ || !AnyFollower())))
      settle_until_ = std::min(settle_until_, absl::Now() + kSettle);
    if (status == 0) continue;
    // Of several reaped at once a killed one is the cause, the others its consequence.
    const bool cause =
        outcome_.culprit.empty() || (WIFSIGNALED(status) && !WIFSIGNALED(outcome_.culprit_status) &&
                                     absl::Now() - culprit_ended_ < absl::Milliseconds(100));
    if (cause) {
      if (outcome_.culprit.empty()) culprit_ended_ = absl::Now();
      outcome_.culprit = watched.child.name;
      outcome_.culprit_pid = watched.child.pid;
      outcome_.culprit_status = status;
    }
  }
}

void Supervisor::OnSignal(int signal) {
  if (signal == SIGUSR1) {
    if (!children_.empty() && children_.front().running) kill(children_.front().child.pid, SIGUSR1);
    return;
  }
  if (outcome_.signal != 0) {
    std::fprintf(stderr, "second signal: killing every process now\n");
    SignalAll(SIGKILL);
    return;
  }
  outcome_.signal = signal;
  outcome_.stopped_by_user = AnyRunning() && children_.front().running;
  std::fprintf(stderr, "\nstopping (%s); once more to kill at once\n", strsignal(signal));
  if (!children_.empty() && children_.front().running) {
    kill(children_.front().child.pid, signal == SIGINT ? SIGINT : SIGTERM);
  }
  settle_until_ = std::min(settle_until_, absl::Now() + grace_ + kSettle);
}

void Supervisor::Poll(absl::Duration timeout, int extra_fd, bool* extra_ready) {
  std::vector<pollfd> fds = {{signal_fd_, POLLIN, 0}};
  if (extra_fd >= 0) fds.push_back({extra_fd, POLLIN, 0});
  const size_t first_child = fds.size();
  std::vector<std::pair<size_t, bool>> owners;
  for (size_t i = 0; i < children_.size(); ++i) {
    for (bool is_stderr : {false, true}) {
      const int fd = is_stderr ? children_[i].child.stderr_fd : children_[i].child.stdout_fd;
      if (fd < 0) continue;
      fds.push_back({fd, POLLIN, 0});
      owners.emplace_back(i, is_stderr);
    }
  }
  const absl::Time now = absl::Now();
  absl::Duration wait = std::min({timeout, settle_until_ - now, kill_at_ - now});
  for (const Watched& watched : children_) {
    wait = std::min({wait, watched.restart_at - now, watched.kill_at - now});
  }
  if (roster_ != nullptr) wait = std::min(wait, kTick);
  wait = std::max(absl::ZeroDuration(), std::min(wait, absl::Seconds(1)));
  poll(fds.data(), fds.size(), static_cast<int>(absl::ToInt64Milliseconds(wait)) + 1);

  signalfd_siginfo info;
  while (read(signal_fd_, &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))) {
    if (info.ssi_signo != SIGCHLD) OnSignal(static_cast<int>(info.ssi_signo));
  }
  for (size_t k = 0; k < owners.size(); ++k) {
    if (fds[first_child + k].revents != 0)
      Drain(children_[owners[k].first], owners[k].second, false);
  }
  Reap();
  RestartDue();
  KillOverdue();
  if (roster_ != nullptr && !Ending()) roster_->OnTick(*this);
  if (extra_ready != nullptr) *extra_ready = extra_fd >= 0 && fds[1].revents != 0;

  if (absl::Now() >= settle_until_) {
    settle_until_ = absl::InfiniteFuture();
    kill_at_ = absl::Now() + kKill;
    if (AnyRunning()) SLUICE_LOG(Warning, "some processes did not end by themselves: SIGTERM");
    SignalAll(SIGTERM);
  }
  if (absl::Now() >= kill_at_) {
    kill_at_ = absl::InfiniteFuture();
    SignalAll(SIGKILL);
  }
}

absl::StatusOr<std::string> Supervisor::ReadLine(int fd, absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  std::string line;
  while (true) {
    bool ready = false;
    Poll(deadline - absl::Now(), fd, &ready);
    if (ready) {
      char c;
      while (read(fd, &c, 1) == 1) {
        if (c == '\n') return line;
        line += c;
        pollfd more = {fd, POLLIN, 0};
        if (poll(&more, 1, 0) != 1) break;
      }
    }
    if (!outcome_.culprit.empty() || outcome_.signal != 0 || !AnyRunning()) {
      return absl::AbortedError("ended before it was ready");
    }
    if (absl::Now() >= deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat("not ready within ", absl::FormatDuration(timeout)));
    }
  }
}

Supervisor::Outcome Supervisor::Wait() {
  while (AnyRunning()) Poll(absl::Seconds(1), -1, nullptr);
  return outcome_;
}

}  // namespace sluice
