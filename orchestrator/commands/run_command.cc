#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <random>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "actors/policy_publisher.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "orchestrator/commands/commands.h"
#include "orchestrator/commands/flags.h"
#include "orchestrator/commands/process_setup.h"
#include "orchestrator/config/chaos_loader.h"
#include "orchestrator/config/job_loader.h"
#include "orchestrator/config/job_writer.h"
#include "orchestrator/launcher/supervisor.h"

namespace sluice {
namespace {

// Everything that is decided before a process starts.
struct Launch {
  proto::JobConfig job;
  std::string job_id;
  std::string run_directory;
  std::string self;  // path of this program
  int profilers = 0;
  std::string chaos;  // path of a plan of faults; empty: none
};

std::string RandomId() {
  std::random_device device;
  return absl::StrCat(absl::Hex(device(), absl::kZeroPad8));
}

std::string JobFile(const Launch& launch) { return launch.run_directory + "/job.yaml"; }

absl::StatusOr<std::string> AbsolutePath(const std::string& path) {
  char* const absolute = realpath(path.c_str(), nullptr);
  if (absolute == nullptr) return absl::NotFoundError(absl::StrCat(path, ": ", strerror(errno)));
  std::string result = absolute;
  std::free(absolute);
  return result;
}

// Errors of the command line and the job file; touches no file but the job's.
absl::StatusOr<Launch> Plan(const CommandLine& line) {
  if (line.positional.size() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("run takes one job file, ", line.positional.size(),
                     " given. Example: orchestrator run -np 4 ", "examples/fashion_mnist.yaml"));
  }
  std::vector<std::string> sets = line.sets;
  const int np =
      absl::GetFlag(FLAGS_np) != 0 ? absl::GetFlag(FLAGS_np) : absl::GetFlag(FLAGS_num_proc);
  if (np > 0) sets.push_back(absl::StrCat("world.size=", np));
  std::string path = line.positional.front();
  SLUICE_RETURN_IF_ERROR(EnterUserDirectory());
  Launch launch;
  SLUICE_ASSIGN_OR_RETURN(launch.job, LoadJob(path, sets));
  if (launch.job.world().size() < 1) {
    return absl::InvalidArgumentError(
        "how many workers? Give -np N, or world.size in the job file");
  }
  if (const std::string chaos = absl::GetFlag(FLAGS_chaos); !chaos.empty()) {
    SLUICE_RETURN_IF_ERROR(LoadChaos(chaos, launch.job.world().size()).status());
    SLUICE_ASSIGN_OR_RETURN(launch.chaos, AbsolutePath(chaos));
  }
  SLUICE_ASSIGN_OR_RETURN(const bool needs_windows, NeedsWindows(launch.job));
  launch.profilers = needs_windows ? 1 : 0;
  launch.job_id = RandomId();
  char self[4096] = {};
  if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0) {
    return absl::InternalError("cannot read /proc/self/exe");
  }
  launch.self = self;
  launch.run_directory = absl::GetFlag(FLAGS_run_directory);
  if (launch.run_directory.empty()) {
    launch.run_directory = absl::StrCat(
        launch.job.report().directory(), "/", launch.job.name(), "-",
        absl::FormatTime("%Y%m%d-%H%M%S", absl::Now(), absl::LocalTimeZone()), "-", launch.job_id);
  }
  return launch;
}

// mkdir -p
absl::Status MakeDirectory(const std::string& path) {
  for (size_t i = 1; i <= path.size(); ++i) {
    if (i < path.size() && path[i] != '/') continue;
    if (mkdir(path.substr(0, i).c_str(), 0777) != 0 && errno != EEXIST) {
      return absl::ResourceExhaustedError(
          absl::StrCat("cannot make the run directory ", path, ": ", std::strerror(errno),
                       ". Choose another with --run-directory or report.directory"));
    }
  }
  return absl::OkStatus();
}

absl::Status PrepareRunDirectory(Launch& launch) {
  SLUICE_RETURN_IF_ERROR(MakeDirectory(launch.run_directory));
  if (char* absolute = realpath(launch.run_directory.c_str(), nullptr)) {
    launch.run_directory = absolute;
    std::free(absolute);
  }
  struct stat existing;
  if (stat((launch.run_directory + "/metrics.jsonl").c_str(), &existing) == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        launch.run_directory, " holds another run's files. Choose another --run-directory"));
  }
  std::ofstream file(JobFile(launch));
  file << JobToYaml(launch.job);
  file.close();
  if (!file) {
    return absl::ResourceExhaustedError(absl::StrCat("cannot write ", JobFile(launch)));
  }
  return absl::OkStatus();
}

std::vector<std::string> Argv(const Launch& launch, const char* subcommand) {
  return {launch.self,
          subcommand,
          absl::StrCat("--job=", JobFile(launch)),
          absl::StrCat("--job-id=", launch.job_id),
          absl::StrCat("--run-directory=", launch.run_directory),
          absl::StrCat("--log-level=", absl::GetFlag(FLAGS_log_level)),
          absl::StrCat("--start-timeout=", absl::GetFlag(FLAGS_start_timeout)),
          absl::StrCat("--launcher-pid=", getpid())};
}

ChildSpec CoordinatorSpec(const Launch& launch, int announce_fd) {
  ChildSpec spec;
  spec.name = "coordinator";
  spec.argv = Argv(launch, "coordinator");
  if (absl::GetFlag(FLAGS_json)) spec.argv.push_back("--json");
  if (absl::GetFlag(FLAGS_verbose)) spec.argv.push_back("--verbose");
  if (!launch.chaos.empty()) spec.argv.push_back("--chaos=" + launch.chaos);
  spec.argv.push_back("--announce-fd=3");
  spec.pass_fd = announce_fd;
  spec.capture_output = false;  // it is the one that speaks to the user
  return spec;
}

ChildSpec MemberSpec(const Launch& launch, const char* kind, int slot,
                     const std::string& coordinator) {
  ChildSpec spec;
  const bool worker = absl::string_view(kind) == "worker";
  spec.name = absl::StrCat(worker ? "rank " : "profiler ", slot);
  spec.argv = Argv(launch, kind);
  spec.argv.push_back(absl::StrCat("--coordinator=", coordinator));
  spec.argv.push_back(absl::StrCat("--slot=", slot));
  // OpenBLAS starts threads of its own, which several workers on one machine fight over; and the number of
  // threads changes the bits of a sum.
  const std::string threads = absl::StrCat(launch.job.training().threads());
  for (const char* name : {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"}) {
    if (std::getenv(name) == nullptr) spec.environment.emplace_back(name, threads);
  }
  if (!worker) return spec;
  if (!launch.chaos.empty()) spec.argv.push_back("--chaos=" + launch.chaos);
  const std::string rank = absl::StrCat(slot);
  const std::string size = absl::StrCat(launch.job.world().size());
  for (const char* name : {"RANK", "LOCAL_RANK", "SLUICE_RANK", "SLUICE_LOCAL_RANK", "HOROVOD_RANK",
                           "HOROVOD_LOCAL_RANK"}) {
    spec.environment.emplace_back(name, rank);
  }
  for (const char* name : {"WORLD_SIZE", "LOCAL_WORLD_SIZE", "SLUICE_SIZE", "SLUICE_LOCAL_SIZE",
                           "HOROVOD_SIZE", "HOROVOD_LOCAL_SIZE"}) {
    spec.environment.emplace_back(name, size);
  }
  spec.environment.emplace_back("SLUICE_JOB_ID", launch.job_id);
  spec.environment.emplace_back("SLUICE_COORDINATOR_ADDR", coordinator);
  return spec;
}

std::vector<ChildSpec> MemberSpecs(const Launch& launch, const std::string& coordinator) {
  std::vector<ChildSpec> specs;
  for (int slot = 0; slot < launch.job.world().size(); ++slot) {
    specs.push_back(MemberSpec(launch, "worker", slot, coordinator));
  }
  for (int slot = 0; slot < launch.profilers; ++slot) {
    specs.push_back(MemberSpec(launch, "profiler", slot, coordinator));
  }
  return specs;
}

int DryRun(const Launch& launch) {
  std::printf("# %s/job.yaml\n%s\n", launch.run_directory.c_str(), JobToYaml(launch.job).c_str());
  std::vector<ChildSpec> specs = {CoordinatorSpec(launch, -1)};
  for (ChildSpec& spec : MemberSpecs(launch, "127.0.0.1:PORT")) specs.push_back(std::move(spec));
  for (const ChildSpec& spec : specs) {
    std::string line;
    for (const auto& [name, value] : spec.environment)
      absl::StrAppend(&line, name, "=", value, " ");
    std::printf("# %s\n%s%s\n", spec.name.c_str(), line.c_str(),
                absl::StrJoin(spec.argv, " ").c_str());
  }
  return kExitOk;
}

absl::Status StartAll(const Launch& launch, Supervisor& supervisor) {
  int announce[2];
  if (pipe2(announce, O_CLOEXEC) != 0) {
    return absl::UnavailableError(absl::StrCat("pipe: ", std::strerror(errno)));
  }
  absl::Status status = supervisor.Start(CoordinatorSpec(launch, announce[1]));
  close(announce[1]);
  absl::StatusOr<std::string> port = absl::UnknownError("");
  if (status.ok()) port = supervisor.ReadLine(announce[0], absl::Seconds(30));
  close(announce[0]);
  SLUICE_RETURN_IF_ERROR(status);
  if (!port.ok()) return Annotate(port.status(), "coordinator");
  for (const ChildSpec& spec : MemberSpecs(launch, absl::StrCat("127.0.0.1:", *port))) {
    SLUICE_RETURN_IF_ERROR(supervisor.Start(spec));
  }
  return absl::OkStatus();
}

int Conclude(const Supervisor::Outcome& outcome) {
  if (outcome.stopped_by_user) {
    return outcome.signal == SIGINT ? kExitInterrupted : kExitTerminated;
  }
  if (outcome.culprit.empty()) return kExitOk;
  // After the coordinator has told everybody, the first to leave is no culprit: it has named that itself.
  const bool coordinator_spoke = outcome.lead_code > 0 && outcome.lead_code < 128;
  if (!coordinator_spoke || WIFSIGNALED(outcome.culprit_status)) {
    std::fprintf(stderr, "orchestrator: %s (host %s, pid %d) %s\n", outcome.culprit.c_str(),
                 HostName().c_str(), outcome.culprit_pid,
                 DescribeWaitStatus(outcome.culprit_status).c_str());
  }
  // The coordinator knows the cause; if it died itself, or knew nothing, the culprit's own code speaks.
  if (coordinator_spoke) return outcome.lead_code;
  const int own = ExitCodeOf(outcome.culprit_status);
  return own < 128 ? own : kExitTraining;
}

}  // namespace

int RunCommand(const CommandLine& line) {
  SetLogIdentity("driver");
  for (const auto& [name, value] :
       {std::pair("-np", absl::GetFlag(FLAGS_np)),
        std::pair("--num-proc", absl::GetFlag(FLAGS_num_proc)),
        std::pair("--start-timeout", absl::GetFlag(FLAGS_start_timeout))}) {
    if (value >= 0) continue;
    std::fprintf(stderr, "orchestrator run: %s %d: must not be negative\n", name, value);
    return kExitUsage;
  }
  auto launch = Plan(line);
  if (!launch.ok()) {
    std::fprintf(stderr, "orchestrator run: %s\n", std::string(launch.status().message()).c_str());
    return line.positional.size() == 1 ? kExitConfig : kExitUsage;
  }
  if (absl::GetFlag(FLAGS_dry_run)) return DryRun(*launch);
  if (absl::GetFlag(FLAGS_verbose) && absl::GetFlag(FLAGS_log_level) == "INFO") {
    (void)SetLogLevel("DEBUG");  // every process's start and end
  }
  if (absl::Status status = PrepareRunDirectory(*launch); !status.ok()) return ExitCodeFor(status);
  auto supervisor = Supervisor::Create();
  if (!supervisor.ok()) return ExitCodeFor(supervisor.status());
  const absl::Status started = StartAll(*launch, *supervisor);
  if (!started.ok() && !absl::IsAborted(started)) return ExitCodeFor(started);
  return Conclude(supervisor->Wait());
}

}  // namespace sluice
