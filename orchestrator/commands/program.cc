#include "orchestrator/commands/program.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "actors/member_client.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "orchestrator/commands/flags.h"
#include "orchestrator/commands/member_process.h"
#include "orchestrator/commands/process_setup.h"
#include "orchestrator/config/job_loader.h"
#include "orchestrator/config/job_writer.h"
#include "orchestrator/launcher/child_process.h"
#include "orchestrator/launcher/ssh.h"
#include "proto/launch.pb.h"
#include "security/credential_source.h"
#include "training/session/generation.h"
#include "training/session/session_fd.h"

namespace sluice {
namespace {

// The program that is running, for the signal thread.
struct Running {
  absl::Mutex mu;
  pid_t pid ABSL_GUARDED_BY(mu) = 0;  // 0 = none yet, or no more
  proto::ProcessInfo process ABSL_GUARDED_BY(mu);
  MemberClient::Options line ABSL_GUARDED_BY(mu);            // to the coordinator
  std::shared_ptr<MemberClient> client ABSL_GUARDED_BY(mu);  // made by the first signal
  bool stopping ABSL_GUARDED_BY(mu) = false;                 // the whole job was asked to
};

// One per process, as its signals are. Outlives main: the signal thread does.
Running& TheProgram() {
  static auto* const running = new Running;
  return *running;
}

// \return whether the coordinator was asked, so that the program goes on until it is told what to do
bool PassOn(const Termination& end) {
  Running& running = TheProgram();
  absl::MutexLock lock(&running.mu);
  if (end.launcher_gone || running.stopping || running.pid == 0) return false;
  if (running.client == nullptr) {
    auto client = MemberClient::Connect(running.line, {});
    if (!client.ok()) return false;
    running.client = *std::move(client);
  }
  AskToLeave(*running.client, running.process, end);
  running.stopping = !end.alone;
  return true;
}

void OnSignal(const Termination& end) {
  if (PassOn(end)) return;
  SLUICE_LOG(Error, end.why);
  Running& running = TheProgram();
  absl::MutexLock lock(&running.mu);
  if (running.pid == 0) _exit(end.exit_code);
  kill(running.pid, SIGTERM);
}

void SetProgram(pid_t pid) {
  absl::MutexLock lock(&TheProgram().mu);
  TheProgram().pid = pid;
  TheProgram().process.set_pid(pid);
}

MemberClient::Options LineOf(const proto::SessionStart& start, const Credentials& credentials) {
  MemberClient::Options options;
  options.coordinator_host = start.coordinator_host();
  options.coordinator_port = static_cast<uint16_t>(start.coordinator_port());
  options.job_id = start.job_id();
  options.credentials = Credentials(credentials);
  return options;
}

// A socket whose other end holds `text` and then its end. Both ends: ours, the program's.
absl::StatusOr<std::pair<int, int>> SocketWith(const std::string& text) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return absl::UnavailableError(absl::StrCat("socketpair: ", std::strerror(errno)));
  }
  // Nobody reads yet, so all of it must fit.
  const int room = static_cast<int>(text.size()) + 65536;
  setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
  if (send(ends[0], text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT) !=
      static_cast<ssize_t>(text.size())) {
    const int error = errno;
    close(ends[0]);
    close(ends[1]);
    return absl::UnavailableError(
        absl::StrCat("cannot hand ", text.size(), " bytes to the program: ", std::strerror(error)));
  }
  shutdown(ends[0], SHUT_WR);
  return std::make_pair(ends[0], ends[1]);
}

// What the program has said so far.
std::string Read(int fd) {
  char bytes[16];
  const ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
  return std::string(bytes, n > 0 ? static_cast<size_t>(n) : 0);
}

// To the coordinator, which then tells everybody. \return the code to end with
int Report(const proto::SessionStart& start, const Credentials& credentials,
           const proto::ProcessInfo& process, const absl::Status& error) {
  auto client = MemberClient::Connect(LineOf(start, credentials), {});
  // Without a coordinator the job has ended anyway, for a reason of its own.
  if (!client.ok()) return ExitCodeFor(error);
  return LeaveWithError(error, **client, process, Step(-1), nullptr, absl::ZeroDuration());
}

}  // namespace

absl::StatusOr<proto::JobConfig> WithProgram(const proto::JobConfig& job,
                                             const std::vector<std::string>& words) {
  if (words.empty()) return job;
  proto::JobConfig with = job;
  with.mutable_program()->mutable_command()->Assign(words.begin(), words.end());
  // What the loader refuses in a file is refused here too.
  return ParseJob(JobToYaml(with), JobFormat::kYaml, "the job with the command after --", {});
}

absl::StatusOr<std::string> FindTrainingProgram(const proto::JobConfig& job) {
  const std::string& path = job.program().command(0);
  if (!absl::StrContains(path, '/')) return FindProgram(path);
  if (access(path.c_str(), F_OK) != 0) {
    return absl::NotFoundError(absl::StrCat("program ", path, ": ", std::strerror(errno), " on ",
                                            HostName(),
                                            ". Paths are relative to the launcher's directory"));
  }
  if (access(path.c_str(), X_OK) != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat("program ", path, ": ", std::strerror(errno), " on ", HostName()));
  }
  return path;
}

std::string CommandText(const proto::JobConfig& job) {
  return absl::StrJoin(job.program().command(), " ", [](std::string* out, const std::string& word) {
    const bool plain = !word.empty() && word.find_first_not_of(
                                            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                            "0123456789_-./=:,+@%") == std::string::npos;
    absl::StrAppend(out, plain ? word : ShellQuoted(word));
  });
}

int RunProgram(const proto::JobConfig& job) {
  HandleSignals(OnSignal);
  auto credentials = LoadCredentials(absl::GetFlag(FLAGS_credentials), absl::Now());
  if (!credentials.ok()) return ExitCodeFor(credentials.status());
  auto endpoint = ParseEndpoint(absl::GetFlag(FLAGS_coordinator));
  if (!endpoint.ok()) return ExitCodeFor(endpoint.status());
  proto::ProcessInfo process = ThisProcess(proto::ROLE_WORKER);

  proto::SessionStart start;
  *start.mutable_job() = job;
  start.set_job_digest(JobDigest(job));
  start.set_job_id(absl::GetFlag(FLAGS_job_id));
  start.set_coordinator_host(endpoint->first);
  start.set_coordinator_port(endpoint->second);
  start.set_slot(process.slot());
  start.set_credentials(Serialize(*credentials));
  start.set_start_timeout_seconds(absl::GetFlag(FLAGS_start_timeout));
  start.set_log_level(absl::GetFlag(FLAGS_log_level));
  auto path = FindTrainingProgram(job);
  if (!path.ok()) return Report(start, *credentials, process, path.status());
  const auto socket = SocketWith(start.SerializeAsString());
  if (!socket.ok()) return Report(start, *credentials, process, socket.status());

  {
    absl::MutexLock lock(&TheProgram().mu);
    TheProgram().process = process;
    TheProgram().line = LineOf(start, *credentials);
  }
  ChildSpec spec;
  spec.name = CommandText(job);
  spec.argv.assign(job.program().command().begin(), job.program().command().end());
  spec.argv.front() = *path;
  spec.environment = {{kSessionFdVariable, "3"}};
  spec.capture_output = false;
  spec.pass_fd = socket->second;
  spec.own_group = false;    // so that whoever ends this process ends the program too
  signal(SIGPIPE, SIG_DFL);  // the program's own affair
  const auto child = StartChild(spec);
  signal(SIGPIPE, SIG_IGN);
  close(socket->second);
  if (!child.ok()) return Report(start, *credentials, process, child.status());
  SetProgram(child->pid);
  process.set_pid(child->pid);
  int status = 0;
  while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR) {
  }
  SetProgram(0);
  const std::string said = Read(socket->first);
  const int code = ExitCodeOf(status);
  const bool joined = absl::StrContains(said, kSessionJoined);
  if (code == 0 && joined && !absl::StrContains(said, kSessionLeft)) {
    SLUICE_LOG(Error, spec.name,
               " ended without leaving the job: its sluice::Session must be destroyed, which "
               "std::exit does "
               "not do");
    return kExitTraining;
  }
  // An elastic job starts again what was killed.
  if (joined || (WIFSIGNALED(status) && job.world().min_size() > 0)) return code;
  return Report(start, *credentials, process,
                absl::FailedPreconditionError(absl::StrCat(
                    spec.name, " ", DescribeWaitStatus(status),
                    " without joining the job. A training program calls sluice::Session::Join() "
                    "(training/sluice.h) and keeps the session until it is through")));
}

}  // namespace sluice
