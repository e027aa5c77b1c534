#include "orchestrator/launcher/command_batch.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "absl/time/clock.h"

namespace sluice {
namespace {

struct Running {
  Child child;
  bool over = true;
};

}  // namespace

void ReadPipe(int& fd, std::string& text) {
  char buffer[4096];
  while (fd >= 0) {
    const ssize_t n = read(fd, buffer, sizeof(buffer));
    if (n > 0) {
      text.append(buffer, std::min(static_cast<size_t>(n), kMostOutputBytes - text.size()));
      continue;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    close(fd);
    fd = -1;
  }
}

void ClosePipe(int& fd) {
  if (fd >= 0) close(fd);
  fd = -1;
}

std::vector<CommandResult> RunAll(const std::vector<ChildSpec>& specs, absl::Duration timeout) {
  const absl::Time begin = absl::Now(), deadline = begin + timeout;
  std::vector<CommandResult> results(specs.size());
  std::vector<Running> running(specs.size());
  for (size_t i = 0; i < specs.size(); ++i) {
    auto child = StartChild(specs[i]);
    if (child.ok()) {
      running[i] = {*std::move(child), false};
    } else {
      results[i].err = std::string(child.status().message());
      results[i].exit_code = 127;
    }
  }
  while (true) {
    std::vector<pollfd> fds;
    bool any = false;
    for (size_t i = 0; i < specs.size(); ++i) {
      Running& one = running[i];
      if (one.over) continue;
      CommandResult& result = results[i];
      // Ended first, then read: what it wrote before its end is all there.
      int status = 0;
      const bool ended = waitpid(one.child.pid, &status, WNOHANG) == one.child.pid;
      ReadPipe(one.child.stdout_fd, result.out);
      ReadPipe(one.child.stderr_fd, result.err);
      if (!ended && absl::Now() >= deadline && !result.timed_out) {
        result.timed_out = true;
        kill(-one.child.pid, SIGKILL);
      }
      if (ended) {
        kill(-one.child.pid, SIGKILL);  // what it left in its group
        ClosePipe(one.child.stdout_fd);
        ClosePipe(one.child.stderr_fd);
        ClosePipe(one.child.stdin_fd);
        one.over = true;
        result.exit_code = ExitCodeOf(status);
        result.elapsed = absl::Now() - begin;
        continue;
      }
      any = true;
      for (int fd : {one.child.stdout_fd, one.child.stderr_fd}) {
        if (fd >= 0) fds.push_back({fd, POLLIN, 0});
      }
    }
    if (!any) return results;
    // The end of a process is no event here: look again soon.
    poll(fds.data(), fds.size(), 10);
  }
}

}  // namespace sluice
