#include "orchestrator/preflight/host_sessions.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/time/clock.h"
#include "orchestrator/preflight/host_facts.h"

namespace sluice {
namespace {

// Takes lines away up to the first answer.
bool TakeAnswer(std::string& pending, nlohmann::json& object) {
  size_t end;
  while ((end = pending.find('\n')) != std::string::npos) {
    auto answer = ParseCheckAnswer(pending.substr(0, end));
    pending.erase(0, end + 1);
    if (!answer.ok()) continue;  // a login shell's greeting
    object = *std::move(answer);
    return true;
  }
  return false;
}

}  // namespace

HostSessions::HostSessions(const std::vector<ChildSpec>& specs)
    : sessions_(specs.size()), begin_(absl::Now()) {
  for (size_t i = 0; i < specs.size(); ++i) {
    auto child = StartChild(specs[i]);
    if (child.ok()) {
      sessions_[i].child = *std::move(child);
    } else {
      sessions_[i].over = true;
      sessions_[i].result.exit_code = 127;
      sessions_[i].result.err = std::string(child.status().message());
    }
  }
}

HostSessions::~HostSessions() {
  for (Session& session : sessions_) ClosePipe(session.child.stdin_fd);
  const absl::Time deadline = absl::Now() + absl::Seconds(1);
  for (Session& session : sessions_) {
    while (!session.over) {
      Reap(session);
      if (session.over) break;
      if (absl::Now() >= deadline) kill(-session.child.pid, SIGKILL);
      poll(nullptr, 0, 5);
    }
  }
}

void HostSessions::Reap(Session& session) {
  int status = 0;
  // Ended first, then read: what it wrote before its end is all there.
  const bool ended = waitpid(session.child.pid, &status, WNOHANG) == session.child.pid;
  ReadPipe(session.child.stdout_fd, session.pending);
  ReadPipe(session.child.stderr_fd, session.result.err);
  session.result.elapsed = absl::Now() - begin_;
  if (!ended) return;
  kill(-session.child.pid, SIGKILL);  // what it left in its group
  ClosePipe(session.child.stdin_fd);
  ClosePipe(session.child.stdout_fd);
  ClosePipe(session.child.stderr_fd);
  session.over = true;
  session.result.exit_code = ExitCodeOf(status);
}

std::vector<HostSessions::Answer> HostSessions::Ask(const std::vector<std::string>& lines,
                                                    absl::Time deadline) {
  std::vector<Answer> answers(sessions_.size());
  std::vector<bool> waiting(sessions_.size());
  for (size_t i = 0; i < sessions_.size(); ++i) {
    Session& session = sessions_[i];
    if (lines[i].empty() || !lives(i)) continue;
    answers[i].sent = absl::Now();
    // A line is small: it fits into a pipe whose reader has taken all before.
    waiting[i] = write(session.child.stdin_fd, lines[i].data(), lines[i].size()) ==
                 static_cast<ssize_t>(lines[i].size());
    if (!waiting[i]) Reap(session);
  }
  while (true) {
    std::vector<pollfd> fds;
    for (size_t i = 0; i < sessions_.size(); ++i) {
      if (!waiting[i]) continue;
      Session& session = sessions_[i];
      Reap(session);
      if (TakeAnswer(session.pending, answers[i].object)) {
        answers[i].arrived = absl::Now();
        waiting[i] = false;
      } else if (session.over) {
        waiting[i] = false;
      } else if (absl::Now() >= deadline) {
        waiting[i] = false;
        session.silent = true;
        session.result.timed_out = true;
      } else {
        for (int fd : {session.child.stdout_fd, session.child.stderr_fd}) {
          if (fd >= 0) fds.push_back({fd, POLLIN, 0});
        }
      }
    }
    if (std::none_of(waiting.begin(), waiting.end(), [](bool one) { return one; })) return answers;
    // The end of a process is no event here: look again soon.
    poll(fds.data(), fds.size(), 10);
  }
}

}  // namespace sluice
