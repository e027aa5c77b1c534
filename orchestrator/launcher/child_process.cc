#include "orchestrator/launcher/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

struct Pipe {
  int read = -1;
  int write = -1;
  void Close() {
    if (read >= 0) close(read);
    if (write >= 0) close(write);
    read = write = -1;
  }
};

bool Open(Pipe& pipe) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return false;
  pipe.read = ends[0];
  pipe.write = ends[1];
  return true;
}

// Writes all of `text` into a pipe that nobody reads yet.
bool Fill(int pipe, const std::string& text) {
  constexpr size_t kUsual = 60000;
  // Without room the write would wait for a reader that is started only after it.
  if (text.size() > kUsual && fcntl(pipe, F_SETPIPE_SZ, 1 << 20) < 0) return false;
  return write(pipe, text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

[[noreturn]] void Exec(const ChildSpec& spec, const Pipe& in, const Pipe& out, const Pipe& err,
                       pid_t parent) {
  if (spec.own_group) setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(128 + SIGTERM);  // the launcher died before prctl
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (spec.capture_output) {
    dup2(out.write, STDOUT_FILENO);
    dup2(err.write, STDERR_FILENO);
  }
  const int input = in.read >= 0 ? in.read : open("/dev/null", O_RDONLY);
  if (input >= 0) dup2(input, STDIN_FILENO);
  if (spec.pass_fd >= 0) {
    if (spec.pass_fd == 3) {
      fcntl(3, F_SETFD, 0);
    } else {
      dup2(spec.pass_fd, 3);
    }
  }
  for (const std::string& name : spec.without) unsetenv(name.c_str());
  for (const auto& [name, value] : spec.environment) setenv(name.c_str(), value.c_str(), 1);
  std::vector<char*> argv;
  for (const std::string& argument : spec.argv) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  execv(argv[0], argv.data());
  std::fprintf(stderr, "cannot start %s: %s\n", argv[0], std::strerror(errno));
  _exit(127);
}

}  // namespace

absl::StatusOr<Child> StartChild(const ChildSpec& spec) {
  Pipe in, out, err;
  const auto fail = [&](const char* what) {
    const int error = errno;
    in.Close();
    out.Close();
    err.Close();
    return absl::UnavailableError(
        absl::StrCat("cannot start ", spec.name, ": ", what, ": ", std::strerror(error)));
  };
  if (spec.stdin_text.size() > kStdinBytes) {
    return absl::InvalidArgumentError(absl::StrCat(spec.name, ": ", spec.stdin_text.size(),
                                                   " bytes for its standard input, at most ",
                                                   kStdinBytes, " are possible"));
  }
  if (!spec.stdin_text.empty() || spec.keep_stdin_open) {
    if (!Open(in) || !Fill(in.write, spec.stdin_text)) return fail("pipe");
  }
  if (spec.capture_output && (!Open(out) || !Open(err))) return fail("pipe");
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return fail("fork");
  if (pid == 0) Exec(spec, in, out, err, parent);
  if (spec.own_group) setpgid(pid, pid);  // in the child too: whoever comes first
  Child child;
  child.name = spec.name;
  child.pid = pid;
  if (spec.keep_stdin_open) child.stdin_fd = std::exchange(in.write, -1);
  in.Close();
  if (spec.capture_output) {
    close(out.write);
    close(err.write);
    fcntl(out.read, F_SETFL, O_NONBLOCK);
    fcntl(err.read, F_SETFL, O_NONBLOCK);
    child.stdout_fd = out.read;
    child.stderr_fd = err.read;
  }
  return child;
}

std::string DescribeWaitStatus(int status) {
  if (WIFEXITED(status)) {
    const int code = WEXITSTATUS(status);
    const int signal = code - 128;  // as shells and remote-exec report it
    const bool killed = signal == SIGKILL || signal == SIGSEGV || signal == SIGABRT ||
                        signal == SIGBUS || signal == SIGFPE || signal == SIGILL;
    return absl::StrCat(
        "exited with ", code,
        killed ? absl::StrCat(" (signal ", signal, ", ", strsignal(signal), ")") : "");
  }
  if (WIFSIGNALED(status)) {
    return absl::StrCat("was killed by signal ", WTERMSIG(status), " (",
                        strsignal(WTERMSIG(status)), ")",
                        WTERMSIG(status) == SIGKILL
                            ? "; if nobody did that, the kernel may have run out of memory (dmesg)"
                            : "");
  }
  return absl::StrCat("ended with wait status ", status);
}

int ExitCodeOf(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace sluice
