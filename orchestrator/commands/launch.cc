#include "orchestrator/commands/launch.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

#include "absl/flags/flag.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/exit_codes.h"
#include "base/status_macros.h"
#include "orchestrator/commands/flags.h"
#include "orchestrator/commands/process_setup.h"
#include "orchestrator/config/job_writer.h"
#include "orchestrator/launcher/network.h"
#include "orchestrator/launcher/remote_start.h"

namespace sluice {
namespace {

std::string JobFile(const Launch& launch) { return launch.run_directory + "/job.yaml"; }

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

// Without --launcher-pid: on another host remote-exec adds its own.
std::vector<std::string> Argv(const Launch& launch, const std::string& subcommand) {
  return {launch.self,
          subcommand,
          absl::StrCat("--job=", JobFile(launch)),
          absl::StrCat("--job-id=", launch.job_id),
          absl::StrCat("--run-directory=", launch.run_directory),
          absl::StrCat("--log-level=", absl::GetFlag(FLAGS_log_level)),
          absl::StrCat("--start-timeout=", absl::GetFlag(FLAGS_start_timeout)),
          "--credentials=-"};
}

std::string LauncherPid() { return absl::StrCat("--launcher-pid=", getpid()); }

int HostIndex(const Launch& launch, const std::string& kind, int slot) {
  return kind == "worker" ? launch.placements[slot].host : launch.ProfilerHost(slot);
}

std::string CurrentDirectory() {
  char path[4096] = {};
  return getcwd(path, sizeof(path)) != nullptr ? path : "/";
}

// The same process, started on another host by remote-exec there.
absl::StatusOr<ChildSpec> OnOtherHost(const Launch& launch, const std::string& host,
                                      ChildSpec spec) {
  proto::RemoteStart start;
  start.mutable_argv()->Assign(spec.argv.begin(), spec.argv.end());
  for (const auto& [name, value] : PassedOn(launch.environment, launch.wishes)) {
    (*start.mutable_environment())[name] = value;
  }
  for (const auto& [name, value] : spec.environment) (*start.mutable_environment())[name] = value;
  start.set_directory(CurrentDirectory());
  start.set_stdin_text(spec.stdin_text);
  start.set_grace_seconds(launch.job.checkpoint().grace_seconds());
  // A member that gets SIGTERM asks for the end of the whole job.
  start.set_hangup_signal(SIGHUP);
  auto* job = start.add_files();  // where hosts share no folder
  job->set_path(JobFile(launch));
  job->set_content(JobToYaml(launch.job));

  const std::vector<std::string> command = {launch.self, kRemoteExecCommand};
  spec.environment.clear();
  spec.without.clear();
  if (launch.reach == Launch::Reach::kSsh) {
    spec.argv = SshArgv(launch.ssh, host, command);
  } else {
    // A step of its own for each worker, beside the others on the same cores and memory.
    spec.argv = {launch.srun, "--nodes=1", "--ntasks=1",   "--nodelist=" + host,
                 "--overlap", "--quiet",   "--unbuffered", "--kill-on-bad-exit=1"};
    spec.argv.insert(spec.argv.end(), command.begin(), command.end());
  }
  SLUICE_ASSIGN_OR_RETURN(spec.stdin_text, EncodeRemoteStart(start));
  spec.keep_stdin_open = true;
  return spec;
}

}  // namespace

int Launch::ProfilerHost(int slot) const {
  const auto moved = profiler_hosts.find(slot);
  if (moved != profiler_hosts.end()) return moved->second;
  const size_t ranks = placements.size();
  return placements[static_cast<size_t>(slot % profilers) * ranks / static_cast<size_t>(profilers)]
      .host;
}

bool Launch::all_local() const {
  return std::all_of(placements.begin(), placements.end(),
                     [&](const Placement& one) { return is_local[one.host]; });
}

bool Launch::one_host() const { return all_local() && absl::StartsWith(bind, "127."); }

absl::StatusOr<std::string> OwnPath() {
  char self[4096] = {};
  if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0) {
    return absl::InternalError("cannot read /proc/self/exe");
  }
  return std::string(self);
}

std::string RandomId() {
  std::random_device device;
  return absl::StrCat(absl::Hex(device(), absl::kZeroPad8));
}

std::string RunDirectoryOf(const proto::JobConfig& job, const std::string& suffix) {
  const std::string given = absl::GetFlag(FLAGS_run_directory);
  return given.empty() ? absl::StrCat(job.report().directory(), "/", job.name(), "-", suffix)
                       : given;
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
  return EnsureFile(JobFile(launch), JobToYaml(launch.job));
}

ChildSpec CoordinatorSpec(const Launch& launch, int announce_fd) {
  ChildSpec spec;
  spec.name = "coordinator";
  spec.argv = Argv(launch, "coordinator");
  spec.stdin_text = Serialize(launch.credentials);
  spec.argv.push_back(LauncherPid());
  spec.argv.push_back(absl::StrCat("--bind=", launch.bind));
  spec.argv.push_back(absl::StrCat("--port=", launch.coordinator_port));
  if (absl::GetFlag(FLAGS_json)) spec.argv.push_back("--json");
  if (absl::GetFlag(FLAGS_verbose)) spec.argv.push_back("--verbose");
  if (!launch.chaos.empty()) spec.argv.push_back("--chaos=" + launch.chaos);
  if (announce_fd >= 0) spec.argv.push_back("--announce-fd=3");
  spec.pass_fd = announce_fd;
  spec.capture_output = false;  // it is the one that speaks to the user
  return spec;
}

std::string HostOf(const Launch& launch, const std::string& kind, int slot) {
  return launch.hosts[HostIndex(launch, kind, slot)].host;
}

absl::StatusOr<ChildSpec> MemberSpec(const Launch& launch, const std::string& kind, int slot,
                                     const std::string& coordinator) {
  ChildSpec spec;
  const bool worker = kind == "worker";
  const int host = HostIndex(launch, kind, slot);
  spec.name = absl::StrCat(worker ? "rank " : "profiler ", slot);
  spec.argv = Argv(launch, kind);
  spec.stdin_text = Serialize(launch.credentials);
  spec.argv.push_back(absl::StrCat("--coordinator=", coordinator));
  spec.argv.push_back(absl::StrCat("--slot=", slot));
  spec.without = Removed(launch.environment, launch.wishes);

  Environment set = LibrarySettings(launch.job.training().threads(), launch.environment);
  // All ranks are on this host: UCX needs no listening socket, and if the user wants tcp, none but on loopback.
  if (launch.one_host()) {
    if (launch.environment.count("UCX_TLS") == 0 &&
        launch.job.communication().transports().empty()) {
      set["UCX_TLS"] = "posix,cma,self";
    }
    if (launch.environment.count("UCX_NET_DEVICES") == 0) set["UCX_NET_DEVICES"] = "lo";
  }
  if (worker && !launch.chaos.empty()) spec.argv.push_back("--chaos=" + launch.chaos);
  if (worker) {
    WorkerFacts facts;
    facts.placement = launch.placements[slot];
    const auto known = launch.incarnations.find(slot);
    const auto incarnation =
        known == launch.incarnations.end() ? Launch::Incarnation() : known->second;
    facts.size = incarnation.size > 0 ? incarnation.size
                                      : std::max<int>(launch.job.world().size(),
                                                      static_cast<int>(launch.placements.size()));
    facts.generation = incarnation.generation;
    facts.restarts = incarnation.restarts;
    facts.host = launch.hosts[host].host;
    facts.job_id = launch.job_id;
    facts.coordinator_host = coordinator.substr(0, coordinator.rfind(':'));
    facts.coordinator_port = coordinator.substr(coordinator.rfind(':') + 1);
    facts.elastic = launch.job.world().min_size() > 0;
    facts.max_restarts = facts.elastic ? launch.job.world().max_restarts() : 0;
    facts.network_interface = launch.network_interface;
    for (auto& [name, value] : WorkerEnvironment(facts, launch.environment)) set[name] = value;
  }
  for (auto& [name, value] : Added(launch.wishes)) set[name] = value;
  spec.environment.assign(set.begin(), set.end());
  if (!launch.is_local[host]) return OnOtherHost(launch, launch.hosts[host].host, std::move(spec));
  spec.argv.push_back(LauncherPid());
  return spec;
}

CoordinatorLine::~CoordinatorLine() {
  if (read_fd >= 0) close(read_fd);
  if (write_fd >= 0) close(write_fd);
}

void CoordinatorLine::ReadGenerations() {
  char bytes[4096];
  for (ssize_t n; (n = read(read_fd, bytes, sizeof(bytes))) > 0;) {
    rest.append(bytes, static_cast<size_t>(n));
  }
  for (size_t end; (end = rest.find('\n')) != std::string::npos; rest.erase(0, end + 1)) {
    const std::vector<std::string> words = absl::StrSplit(rest.substr(0, end), ' ');
    int64_t number = 0;
    if (!absl::SimpleAtoi(words.front(), &number) || number < generation) continue;
    generation = number;
    slots.clear();
    for (size_t i = 1; i < words.size(); ++i) {
      int slot = 0;
      if (absl::SimpleAtoi(words[i], &slot)) slots.push_back(slot);
    }
  }
}

bool IsLocal(const Launch& launch, const std::string& host) {
  // Within an allocation the scheduler's name for this node, which may not be its own.
  const auto node = launch.environment.find("SLURMD_NODENAME");
  return IsThisHost(host) || (launch.reach == Launch::Reach::kSrun &&
                              node != launch.environment.end() && node->second == host);
}

absl::StatusOr<std::unique_ptr<CoordinatorLine>> StartAll(const Launch& launch,
                                                          Supervisor& supervisor) {
  auto line = std::make_unique<CoordinatorLine>();
  int announce[2];
  if (pipe2(announce, O_CLOEXEC) != 0) {
    return absl::UnavailableError(absl::StrCat("pipe: ", std::strerror(errno)));
  }
  line->read_fd = announce[0];
  line->write_fd = announce[1];
  SLUICE_RETURN_IF_ERROR(supervisor.Start(CoordinatorSpec(launch, announce[1])));
  const absl::StatusOr<std::string> port = supervisor.ReadLine(announce[0], absl::Seconds(30));
  if (!port.ok()) return Annotate(port.status(), "coordinator");
  fcntl(line->read_fd, F_SETFL, O_NONBLOCK);
  const std::string coordinator = absl::StrCat(launch.coordinator_host, ":", *port);
  line->coordinator = coordinator;
  if (launch.job.world().min_size() > 0) {
    supervisor.AllowRestarts(launch.job.world().max_restarts());
    Launch known = launch;
    known.coordinator_port = std::stoi(*port);
    known.chaos.clear();  // whose faults have struck
    ChildSpec again = CoordinatorSpec(known, line->write_fd);
    again.argv.push_back("--recover");
    supervisor.AllowLeadRestart(std::move(again));
  }
  for (const Placement& place : launch.placements) {
    SLUICE_ASSIGN_OR_RETURN(const ChildSpec spec,
                            MemberSpec(launch, "worker", place.rank, coordinator));
    SLUICE_RETURN_IF_ERROR(supervisor.Start(spec));
  }
  for (int slot = 0; slot < launch.profilers; ++slot) {
    SLUICE_ASSIGN_OR_RETURN(const ChildSpec spec,
                            MemberSpec(launch, "profiler", slot, coordinator));
    SLUICE_RETURN_IF_ERROR(supervisor.Start(spec));
  }
  return line;
}

int Conclude(const Launch& launch, const Supervisor::Outcome& outcome, OutputFiles* files) {
  if (outcome.stopped_by_user) {
    if (outcome.lead_code == kExitOk) return kExitOk;  // in good order, with a checkpoint
    return outcome.signal == SIGINT ? kExitInterrupted : kExitTerminated;
  }
  // An elastic job may do without some of its processes.
  const bool survived = launch.job.world().min_size() > 0 && outcome.lead_code == kExitOk;
  if (outcome.culprit.empty() || survived) return kExitOk;
  std::string host = HostName();
  int pid = outcome.culprit_pid;
  for (const Placement& place : launch.placements) {
    if (outcome.culprit != absl::StrCat("rank ", place.rank)) continue;
    host = launch.hosts[place.host].host;
    if (!launch.is_local[place.host]) pid = -1;  // ours is ssh's or srun's
  }
  const std::string what = DescribeWaitStatus(outcome.culprit_status);
  // After the coordinator has told everybody, the first to leave is no culprit: it has named that itself.
  const bool stopped =  // by a signal to one of its processes, without a checkpoint
      !outcome.lead_killed &&
      (outcome.lead_code == kExitInterrupted || outcome.lead_code == kExitTerminated);
  const bool coordinator_spoke = (outcome.lead_code > 0 && outcome.lead_code < 128) || stopped;
  if (!coordinator_spoke || WIFSIGNALED(outcome.culprit_status)) {
    std::fprintf(stderr, "orchestrator: SL2103 %s (host %s%s) %s\n", outcome.culprit.c_str(),
                 host.c_str(), pid < 0 ? "" : absl::StrCat(", pid ", pid).c_str(), what.c_str());
  }
  if (files != nullptr) {
    files->WriteError(outcome.culprit, host, pid, ExitCodeOf(outcome.culprit_status), what);
  }
  // The coordinator knows the cause; if it died itself, or knew nothing, the culprit's own code speaks.
  if (coordinator_spoke) return outcome.lead_code;
  const int own = ExitCodeOf(outcome.culprit_status);
  return own < 128 ? own : kExitTraining;
}

}  // namespace sluice
