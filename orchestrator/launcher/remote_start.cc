#include "orchestrator/launcher/remote_start.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/exit_codes.h"
#include "base/status_macros.h"

namespace sluice {
namespace {

constexpr absl::string_view kMagic = "SLRS";
constexpr size_t kHeaderBytes = 12;

absl::StatusOr<size_t> ParseHeader(absl::string_view header) {
  uint32_t length = 0;
  if (!absl::StartsWith(header, kMagic) || header.size() != kHeaderBytes ||
      header.find_first_not_of("0123456789abcdef", kMagic.size()) != header.npos ||
      !absl::SimpleHexAtoi(header.substr(kMagic.size()), &length)) {
    return absl::DataLossError(
        absl::StrCat(kRemoteExecCommand,
                     ": standard input does not begin with what a launcher sends. It is started by "
                     "`orchestrator run`, not by hand"));
  }
  if (length > kStdinBytes) {
    return absl::DataLossError(
        absl::StrCat(kRemoteExecCommand, ": ", length, " bytes announced, at most ", kStdinBytes));
  }
  return length;
}

absl::StatusOr<proto::RemoteStart> ParseBody(absl::string_view body) {
  proto::RemoteStart start;
  if (!start.ParseFromArray(body.data(), static_cast<int>(body.size())) || start.argv().empty()) {
    return absl::DataLossError(
        absl::StrCat(kRemoteExecCommand, ": standard input holds no start message"));
  }
  return start;
}

// All of `size` bytes, fewer at the end of the file.
std::string ReadBytes(int fd, size_t size) {
  std::string bytes(size, '\0');
  size_t have = 0;
  while (have < size) {
    const ssize_t n = read(fd, bytes.data() + have, size - have);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    have += static_cast<size_t>(n);
  }
  bytes.resize(have);
  return bytes;
}

// mkdir -p of the folder that holds `path`
absl::Status MakeParents(const std::string& path) {
  for (size_t i = 1; i < path.size(); ++i) {
    if (path[i] != '/') continue;
    const std::string folder = path.substr(0, i);
    if (mkdir(folder.c_str(), 0777) != 0 && errno != EEXIST) {
      return absl::ResourceExhaustedError(
          absl::StrCat("cannot make ", folder, ": ", std::strerror(errno)));
    }
  }
  return absl::OkStatus();
}

absl::Status Start(const proto::RemoteStart& start, Child& child) {
  if (chdir(start.directory().c_str()) != 0) {
    return absl::NotFoundError(absl::StrCat(
        "cannot enter ", start.directory(), ": ", std::strerror(errno),
        ". Workers start in the launcher's directory; run from one that every host has"));
  }
  for (const auto& file : start.files()) {
    SLUICE_RETURN_IF_ERROR(EnsureFile(file.path(), file.content()));
  }
  ChildSpec spec;
  spec.name = start.argv(0);
  spec.argv.assign(start.argv().begin(), start.argv().end());
  spec.argv.push_back(absl::StrCat("--launcher-pid=", getpid()));
  for (const auto& [name, value] : start.environment()) spec.environment.emplace_back(name, value);
  spec.without.assign(start.without().begin(), start.without().end());
  spec.stdin_text = start.stdin_text();
  spec.capture_output = false;
  SLUICE_ASSIGN_OR_RETURN(child, StartChild(spec));
  return absl::OkStatus();
}

// Waits for `pid`; ends it when standard input or a signal says so.
int Watch(pid_t pid, int signal_fd, absl::Duration grace, int hangup_signal) {
  absl::Time kill_at = absl::InfiniteFuture();
  bool listening = true;
  // A signal asks for an end in good order; nobody can order one any more when the launcher is gone. It goes to the
  // child alone: what that has started in its group, a program of a job say, it ends itself.
  const auto end = [&](int signal, absl::Duration patience) {
    kill(pid, signal);
    kill_at = std::min(kill_at, absl::Now() + patience);
  };
  while (true) {
    int status = 0;
    if (waitpid(pid, &status, WNOHANG) == pid) {
      kill(-pid, SIGKILL);  // grandchildren in its group, if any
      return ExitCodeOf(status);
    }
    pollfd fds[] = {{signal_fd, POLLIN, 0}, {listening ? STDIN_FILENO : -1, POLLIN, 0}};
    const absl::Duration wait = std::min(kill_at - absl::Now(), absl::Seconds(1));
    poll(fds, 2, std::max(1, static_cast<int>(absl::ToInt64Milliseconds(wait))));
    signalfd_siginfo info;
    while (read(signal_fd, &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))) {
      if (info.ssi_signo != SIGCHLD) end(SIGTERM, grace + absl::Seconds(kRemoteGraceSeconds));
    }
    if (fds[1].revents != 0) {
      char bytes[256];
      const ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));
      if (std::count(bytes, bytes + std::max<ssize_t>(n, 0), kLeaveByte) > 0)
        kill(pid, kLeaveSignal);
      if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)) {
        listening = false;
        end(hangup_signal, absl::Seconds(kRemoteGraceSeconds));
      }
    }
    if (absl::Now() >= kill_at) kill(-pid, SIGKILL);
  }
}

}  // namespace

absl::StatusOr<std::string> EncodeRemoteStart(const proto::RemoteStart& start) {
  const std::string body = start.SerializeAsString();
  if (body.size() + kHeaderBytes > kStdinBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "what a worker on another host is started with has ", body.size(), " bytes, at most ",
        kStdinBytes, " are possible: leave parts of the environment out with --no-env"));
  }
  return absl::StrCat(kMagic, absl::Hex(body.size(), absl::kZeroPad8), body);
}

absl::StatusOr<proto::RemoteStart> DecodeRemoteStart(absl::string_view bytes) {
  SLUICE_ASSIGN_OR_RETURN(const size_t length, ParseHeader(bytes.substr(0, kHeaderBytes)));
  bytes.remove_prefix(kHeaderBytes);
  if (bytes.size() < length) {
    return absl::DataLossError(absl::StrCat(kRemoteExecCommand, ": standard input ended after ",
                                            bytes.size(), " of ", length, " bytes"));
  }
  return ParseBody(bytes.substr(0, length));
}

absl::StatusOr<proto::RemoteStart> ReadRemoteStart(int fd) {
  std::string bytes = ReadBytes(fd, kHeaderBytes);
  SLUICE_ASSIGN_OR_RETURN(const size_t length, ParseHeader(bytes));
  bytes += ReadBytes(fd, length);
  return DecodeRemoteStart(bytes);
}

absl::Status EnsureFile(const std::string& path, const std::string& content) {
  if (path.empty() || path.front() != '/') {
    return absl::InvalidArgumentError(absl::StrCat("file \"", path, "\": not an absolute path"));
  }
  if (std::ifstream existing(path, std::ios::binary); existing) {
    const std::string found{std::istreambuf_iterator<char>(existing), {}};
    if (found == content) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is there with another content: it is of another run"));
  }
  SLUICE_RETURN_IF_ERROR(MakeParents(path));
  // Several of us may write it at once, all the same: each to a file of its own, which then takes the name.
  const std::string temporary = absl::StrCat(path, ".", getpid(), ".tmp");
  std::ofstream file(temporary, std::ios::binary);
  file << content;
  file.close();
  if (!file || rename(temporary.c_str(), path.c_str()) != 0) {
    const int error = errno;
    unlink(temporary.c_str());
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot write ", path, ": ", std::strerror(error)));
  }
  return absl::OkStatus();
}

int RunRemoteExec() {
  const auto fail = [](const absl::Status& status) {
    char host[256] = {};
    gethostname(host, sizeof(host) - 1);
    std::fprintf(stderr, "orchestrator on %s: %s\n", host, std::string(status.message()).c_str());
    return kExitConfig;
  };
  sigset_t mask;
  sigemptyset(&mask);
  signal(SIGCHLD, SIG_DFL);  // a parent that ignored it would have children reap themselves
  for (int signal : {SIGCHLD, SIGINT, SIGTERM, SIGHUP}) sigaddset(&mask, signal);
  sigprocmask(SIG_BLOCK, &mask, nullptr);
  const int signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signal_fd < 0) {
    return fail(absl::InternalError(absl::StrCat("signalfd: ", std::strerror(errno))));
  }
  const auto start = ReadRemoteStart(STDIN_FILENO);
  if (!start.ok()) return fail(start.status());
  Child child;
  if (const absl::Status status = Start(*start, child); !status.ok()) return fail(status);
  const int code = Watch(child.pid, signal_fd, absl::Seconds(start->grace_seconds()),
                         start->hangup_signal() > 0 ? start->hangup_signal() : SIGTERM);
  close(signal_fd);
  return code;
}

}  // namespace sluice
