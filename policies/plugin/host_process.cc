#include "policies/plugin/host_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "policies/plugin/policy_host.h"

namespace sluice {
namespace {

constexpr absl::Duration kFarewell = absl::Seconds(1);

std::string DescribeEnd(int status) {
  if (WIFSIGNALED(status)) {
    return absl::StrCat("signal ", WTERMSIG(status), " (", strsignal(WTERMSIG(status)), ")");
  }
  return absl::StrCat("its process ended with ", WEXITSTATUS(status));
}

// posix_spawn, since the coordinator has threads: between fork and exec nothing of ours may run.
absl::StatusOr<pid_t> Spawn(const std::vector<std::string>& arguments, int socket) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  // Standard output may be the job's JSON.
  posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, socket, kPolicyHostFd);
  // A host must not keep the coordinator's connections open.
  posix_spawn_file_actions_addclosefrom_np(&actions, kPolicyHostFd + 1);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  pid_t pid = -1;
  const int error = posix_spawn(&pid, argv[0], &actions, &attributes, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error == 0) return pid;
  return absl::UnavailableError(
      absl::StrCat("cannot start ", arguments[0], ": ", std::strerror(error)));
}

}  // namespace

absl::StatusOr<HostProcess> HostProcess::Start(const std::vector<std::string>& host,
                                               const std::string& plugin) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return absl::UnavailableError(absl::StrCat("socketpair: ", std::strerror(errno)));
  }
  HostChannel channel(ends[0]);
  std::vector<std::string> arguments = host;
  arguments.push_back(plugin);
  const absl::StatusOr<pid_t> pid = Spawn(arguments, ends[1]);
  close(ends[1]);
  SLUICE_RETURN_IF_ERROR(pid.status());
  return HostProcess(*pid, std::move(channel));
}

HostProcess::HostProcess(HostProcess&& other)
    : pid_(std::exchange(other.pid_, -1)), channel_(std::move(other.channel_)) {}

HostProcess& HostProcess::operator=(HostProcess&& other) {
  std::swap(pid_, other.pid_);
  std::swap(channel_, other.channel_);
  return *this;
}

HostProcess::~HostProcess() {
  if (!alive()) return;
  channel_.Close();
  const absl::Time deadline = absl::Now() + kFarewell;
  while (absl::Now() < deadline) {
    if (waitpid(pid_, nullptr, WNOHANG) != 0) return;
    absl::SleepFor(absl::Milliseconds(2));
  }
  Kill();
}

int HostProcess::Kill() {
  int status = 0;
  kill(pid_, SIGKILL);
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  channel_.Close();
  return status;
}

absl::StatusOr<proto::PolicyHostReply> HostProcess::Conclude(const absl::Status& status,
                                                             proto::PolicyHostReply reply,
                                                             absl::Duration timeout,
                                                             absl::string_view during) {
  if (status.ok()) {
    if (reply.error().empty()) return reply;
    return absl::UnavailableError(reply.error());
  }
  if (absl::IsDeadlineExceeded(status)) {
    Kill();
    return absl::UnavailableError(
        absl::StrCat("did not answer within ", absl::FormatDuration(timeout), " ", during));
  }
  if (!absl::IsUnavailable(status)) {
    Kill();
    return absl::UnavailableError(absl::StrCat("sent something else than an answer ", during));
  }
  // A dead host is a zombie that keeps its status, whatever is sent to it; one that lives has closed its socket.
  return absl::UnavailableError(absl::StrCat("crashed ", during, ": ", DescribeEnd(Kill())));
}

absl::StatusOr<proto::PolicyHostReply> HostProcess::AwaitLoaded(absl::Duration timeout) {
  proto::PolicyHostReply reply;
  const absl::Status status = channel_.Receive(reply, absl::Now() + timeout);
  return Conclude(status, std::move(reply), timeout, "while it was loaded");
}

absl::StatusOr<proto::PolicyHostReply> HostProcess::Ask(const proto::PolicyHostRequest& request,
                                                        absl::Duration timeout,
                                                        absl::string_view during) {
  const absl::Time deadline = absl::Now() + timeout;
  proto::PolicyHostReply reply;
  absl::Status status = channel_.Send(request, deadline);
  if (status.ok()) status = channel_.Receive(reply, deadline);
  return Conclude(status, std::move(reply), timeout, during);
}

}  // namespace sluice
