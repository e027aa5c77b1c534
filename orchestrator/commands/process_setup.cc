#include "orchestrator/commands/process_setup.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "absl/flags/flag.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "orchestrator/commands/flags.h"
#include "orchestrator/config/job_loader.h"
#include "orchestrator/launcher/child_process.h"

namespace sluice {
namespace {

// Where the signal handler writes: it can reach nothing but a global.
int signal_pipe = -1;

}  // namespace

std::string HostName() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 ? name : "localhost";
}

absl::Status EnterUserDirectory() {
  const char* directory = std::getenv("BUILD_WORKING_DIRECTORY");
  if (directory == nullptr || chdir(directory) == 0) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat("cannot enter ", directory));
}

proto::ProcessInfo ThisProcess(proto::Role role) {
  proto::ProcessInfo process;
  process.set_role(role);
  process.set_slot(absl::GetFlag(FLAGS_slot));
  process.set_host(HostName());
  process.set_pid(getpid());
  return process;
}

std::optional<std::string> LauncherGone() {
  const int launcher = absl::GetFlag(FLAGS_launcher_pid);
  if (launcher == 0 || getppid() == launcher) return std::nullopt;
  return absl::StrCat("the launcher (host ", HostName(), ", pid ", launcher,
                      ") is gone: it was killed or crashed");
}

void HandleSignals(std::function<void(const Termination&)> on_signal,
                   std::function<void()> on_user_signal) {
  int ends[2];
  SLUICE_CHECK(pipe2(ends, O_CLOEXEC) == 0, "a process can have a pipe");
  signal_pipe = ends[1];
  // A handler, not sigwait: libraries have made threads before main, which block nothing.
  struct sigaction action = {};
  action.sa_handler = [](int signal) {
    const char byte = static_cast<char>(signal);
    if (write(signal_pipe, &byte, 1) != 1) _exit(128 + signal);
  };
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  sigaction(kLeaveSignal, &action, nullptr);
  if (on_user_signal != nullptr) sigaction(SIGUSR1, &action, nullptr);
  std::thread([fd = ends[0], on_signal = std::move(on_signal),
               on_user_signal = std::move(on_user_signal)] {
    for (;;) {
      char signal = 0;
      if (read(fd, &signal, 1) != 1) continue;
      if (signal == SIGUSR1) {
        on_user_signal();
      } else if (const std::optional<std::string> gone = LauncherGone()) {
        on_signal({*gone, kExitTerminated, true});
      } else if (signal == kLeaveSignal) {
        on_signal({"asked to leave by SIGUSR2", kExitTerminated, false, true});
      } else {
        on_signal({absl::StrCat("stopped by ", signal == SIGINT ? "SIGINT" : "SIGTERM"),
                   signal == SIGINT ? kExitInterrupted : kExitTerminated, false});
      }
    }
  }).detach();
}

void ExitAfter(int seconds, int exit_code, const std::string& why) {
  std::thread([=] {
    std::this_thread::sleep_for(std::chrono::seconds(seconds));
    SLUICE_LOG(Error, "still busy ", seconds, " s after: ", why, ". Leaving now");
    _exit(exit_code);
  }).detach();
}

absl::StatusOr<proto::JobConfig> LoadResolvedJob() { return LoadJob(absl::GetFlag(FLAGS_job), {}); }

absl::StatusOr<std::pair<std::string, uint16_t>> ParseEndpoint(const std::string& text) {
  const size_t colon = text.rfind(':');
  int port = 0;
  if (colon == std::string::npos || colon == 0 ||
      !absl::SimpleAtoi(text.substr(colon + 1), &port) || port < 1 || port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("--coordinator \"", text, "\": expected HOST:PORT, e.g. 127.0.0.1:41873"));
  }
  return std::make_pair(text.substr(0, colon), static_cast<uint16_t>(port));
}

int ExitCodeFor(const absl::Status& status) {
  SLUICE_LOG(Error, status.message());
  return ExitCodeForStatus(status);
}

}  // namespace sluice
