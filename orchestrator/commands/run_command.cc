#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "actors/policy_publisher.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "orchestrator/commands/commands.h"
#include "orchestrator/commands/elastic_roster.h"
#include "orchestrator/commands/flags.h"
#include "orchestrator/commands/launch.h"
#include "orchestrator/commands/process_setup.h"
#include "orchestrator/commands/program.h"
#include "orchestrator/config/chaos_loader.h"
#include "orchestrator/config/job_loader.h"
#include "orchestrator/config/job_writer.h"
#include "orchestrator/launcher/discovery_script.h"
#include "orchestrator/launcher/network.h"
#include "security/credential_source.h"
#include "security/credentials.h"

namespace sluice {
namespace {

// Of two spellings of a flag, the one that was given.
template <class T>
T Either(const absl::Flag<T>& one, const absl::Flag<T>& other) {
  return absl::GetFlag(one) != T() ? absl::GetFlag(one) : absl::GetFlag(other);
}

// What the command line says before the job is read.
struct Request {
  std::string job_path;              // empty: defaults
  std::vector<std::string> program;  // the words after `--`
  int np = 0;                        // 0 = not given
  std::vector<HostSlots> hosts;      // of -H
  EnvironmentWishes wishes;
  std::unique_ptr<DiscoveryScript> script;  // null: hosts stay as they are
};

// \error kInvalidArgument  a usage error
absl::StatusOr<Request> ReadRequest(const CommandLine& line) {
  for (const auto& [name, value] :
       {std::pair("-np", absl::GetFlag(FLAGS_np)),
        std::pair("--num-proc", absl::GetFlag(FLAGS_num_proc)),
        std::pair("--min-np", absl::GetFlag(FLAGS_min_np)),
        std::pair("--max-np", absl::GetFlag(FLAGS_max_np)),
        std::pair("--profilers", absl::GetFlag(FLAGS_profilers)),
        std::pair("--reset-limit", absl::GetFlag(FLAGS_reset_limit)),
        std::pair("--slots-per-host", absl::GetFlag(FLAGS_slots_per_host)),
        std::pair("--slots", absl::GetFlag(FLAGS_slots)),
        std::pair("--start-timeout", absl::GetFlag(FLAGS_start_timeout)),
        std::pair("-p", absl::GetFlag(FLAGS_p)),
        std::pair("--ssh-port", absl::GetFlag(FLAGS_ssh_port)),
        std::pair("--coordinator-port", absl::GetFlag(FLAGS_coordinator_port))}) {
    if (value >= 0) continue;
    return absl::InvalidArgumentError(absl::StrCat(name, " ", value, ": must not be negative"));
  }
  for (int port : {Either(FLAGS_p, FLAGS_ssh_port), absl::GetFlag(FLAGS_coordinator_port)}) {
    if (port > 65535) {
      return absl::InvalidArgumentError(absl::StrCat("port ", port, ": expected 1 to 65535"));
    }
  }
  const std::string job = absl::GetFlag(FLAGS_job);
  const size_t files = line.positional.size() + (job.empty() ? 0 : 1);
  if (files > 1 || (files == 0 && line.after_dashes.empty())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "run takes one job file, ", files,
        " given. Example: orchestrator run -np 4 examples/fashion_mnist.yaml; with a training "
        "program of your own: orchestrator run -np 4 -- ./train --epochs 3"));
  }
  SLUICE_RETURN_IF_ERROR(EnterUserDirectory());
  Request request;
  request.job_path = line.positional.empty() ? job : line.positional.front();
  request.program = line.after_dashes;
  request.np = Either(FLAGS_np, FLAGS_num_proc);
  if (const std::string list = Either(FLAGS_H, FLAGS_hosts); !list.empty()) {
    if (!absl::GetFlag(FLAGS_hostfile).empty()) {
      return absl::InvalidArgumentError("give either -H or --hostfile, not both");
    }
    auto hosts = ParseHostList(list);
    if (!hosts.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(
          hosts.status().message(), access(list.c_str(), R_OK) == 0
                                        ? ". There is a file of this name: did you mean --hostfile?"
                                        : ""));
    }
    request.hosts = *std::move(hosts);
  }
  if (!absl::GetFlag(FLAGS_host_discovery_script).empty()) {
    if (!request.hosts.empty() || !absl::GetFlag(FLAGS_hostfile).empty()) {
      return absl::InvalidArgumentError(
          "--host-discovery-script finds the hosts: leave -H and --hostfile out");
    }
    request.script = std::make_unique<DiscoveryScript>(absl::GetFlag(FLAGS_host_discovery_script),
                                                       Either(FLAGS_slots_per_host, FLAGS_slots));
  }
  const NumberPair range = absl::GetFlag(FLAGS_blacklist_cooldown_range);
  if ((range.first != 0 || range.second != 0) &&
      !(range.first >= 1 && range.first <= range.second && range.second <= 3600)) {
    return absl::InvalidArgumentError(absl::StrCat("--blacklist-cooldown-range ", range.first, " ",
                                                   range.second,
                                                   ": expected 1 <= MIN <= MAX <= 3600 seconds"));
  }
  request.wishes.add = line.All("env");
  request.wishes.remove = line.All("no_env");
  SLUICE_RETURN_IF_ERROR(CheckWishes(request.wishes, CurrentEnvironment()));
  return request;
}

// Fills hosts, and how they are reached. \return whether anybody named any
absl::StatusOr<bool> FindHosts(const Request& request, Launch& launch) {
  if (!request.hosts.empty()) {
    launch.hosts = request.hosts;
    return true;
  }
  if (!absl::GetFlag(FLAGS_hostfile).empty()) {
    SLUICE_ASSIGN_OR_RETURN(HostFile file, LoadHostFile(absl::GetFlag(FLAGS_hostfile)));
    for (const std::string& note : file.notes) SLUICE_LOG(Info, note);
    launch.hosts = std::move(file.hosts);
    return true;
  }
  SLUICE_ASSIGN_OR_RETURN(auto allocation, ReadSlurmAllocation(launch.environment));
  if (!allocation) return false;
  const auto tasks = launch.environment.find("SLURM_STEP_NUM_TASKS");
  if (tasks != launch.environment.end() && tasks->second != "1") {
    return absl::InvalidArgumentError(absl::StrCat(
        "srun started ", tasks->second,
        " launchers at once. Leave srun out (`orchestrator run` starts "
        "the workers of the allocation), or let it start them: srun orchestrator worker JOB"));
  }
  launch.reach = Launch::Reach::kSrun;
  launch.hosts = std::move(allocation->hosts);
  return true;
}

// Touches no file but the job's and the host file.
absl::StatusOr<std::string> AbsolutePath(const std::string& path) {
  char* const absolute = realpath(path.c_str(), nullptr);
  if (absolute == nullptr) {
    return absl::NotFoundError(absl::StrCat(path, ": ", std::strerror(errno)));
  }
  std::string result = absolute;
  std::free(absolute);
  return result;
}

// Flags that are short for a key of the job file.
void AddFlagSets(std::vector<std::string>& sets) {
  const auto add = [&](const char* key, auto value) {
    sets.push_back(absl::StrCat(key, "=", value));
  };
  if (absl::GetFlag(FLAGS_min_np) > 0) add("world.min_size", absl::GetFlag(FLAGS_min_np));
  if (absl::GetFlag(FLAGS_max_np) > 0) add("world.max_size", absl::GetFlag(FLAGS_max_np));
  if (absl::GetFlag(FLAGS_profilers) > 0) add("world.profilers", absl::GetFlag(FLAGS_profilers));
  if (absl::GetFlag(FLAGS_reset_limit) > 0)
    add("world.reset_limit", absl::GetFlag(FLAGS_reset_limit));
  if (absl::GetFlag(FLAGS_max_restarts) >= 0)
    add("world.max_restarts", absl::GetFlag(FLAGS_max_restarts));
  if (absl::GetFlag(FLAGS_elastic_timeout) > 0) {
    add("world.elastic_timeout_seconds", absl::GetFlag(FLAGS_elastic_timeout));
  }
  if (const NumberPair range = absl::GetFlag(FLAGS_blacklist_cooldown_range); range.second > 0) {
    add("world.cooldown_min_seconds", range.first);
    add("world.cooldown_max_seconds", range.second);
  }
  if (!absl::GetFlag(FLAGS_resume).empty()) add("checkpoint.resume", absl::GetFlag(FLAGS_resume));
}

// As the file or, without one, the defaults say, and the command line.
absl::StatusOr<proto::JobConfig> ReadJob(const Request& request,
                                         const std::vector<std::string>& sets) {
  SLUICE_ASSIGN_OR_RETURN(const proto::JobConfig job,
                          request.job_path.empty()
                              ? ParseJob("", JobFormat::kYaml, "defaults", sets)
                              : LoadJob(request.job_path, sets));
  return WithProgram(job, request.program);
}

// A discovery script makes a job elastic, and says where it begins. \return how many workers begin
absl::StatusOr<int> DiscoverHosts(const Request& request, std::vector<std::string> sets,
                                  Launch& launch) {
  const auto again = [&](const char* key, int value) -> absl::Status {
    sets.push_back(absl::StrCat(key, "=", value));
    SLUICE_ASSIGN_OR_RETURN(launch.job, ReadJob(request, sets));
    return absl::OkStatus();
  };
  if (launch.job.world().size() < 1 && launch.job.world().min_size() > 0) {
    SLUICE_RETURN_IF_ERROR(again("world.size", launch.job.world().min_size()));
  }
  if (launch.job.world().min_size() < 1 && launch.job.world().size() > 0) {
    SLUICE_RETURN_IF_ERROR(again("world.min_size", launch.job.world().size()));
  }
  const proto::World& world = launch.job.world();
  if (world.size() < 1) return 0;
  SLUICE_ASSIGN_OR_RETURN(launch.hosts,
                          AwaitHosts(*request.script, world.size(), world.min_size(),
                                     absl::Seconds(absl::GetFlag(FLAGS_start_timeout))));
  int64_t slots = 0;
  for (const HostSlots& host : launch.hosts) slots += host.slots;
  const int64_t most = world.max_size() > 0 ? world.max_size() : kMostSlots;
  return static_cast<int>(std::min(slots, most));
}

absl::StatusOr<Launch> Plan(const Request& request, const CommandLine& line) {
  Launch launch;
  launch.environment = CurrentEnvironment();
  launch.wishes = request.wishes;
  bool have_hosts = true;
  if (request.script == nullptr) {
    SLUICE_ASSIGN_OR_RETURN(have_hosts, FindHosts(request, launch));
  }
  std::vector<std::string> sets = line.sets;
  if (request.np > 0) sets.push_back(absl::StrCat("world.size=", request.np));
  AddFlagSets(sets);
  SLUICE_ASSIGN_OR_RETURN(launch.job, ReadJob(request, sets));
  if (launch.job.world().size() < 1 && have_hosts && request.script == nullptr) {
    int64_t slots = 0;
    for (const HostSlots& host : launch.hosts) slots += host.slots;
    sets.push_back(absl::StrCat("world.size=", slots));
    SLUICE_ASSIGN_OR_RETURN(launch.job, ReadJob(request, sets));
  }
  int workers = launch.job.world().size();
  if (request.script != nullptr) {
    SLUICE_ASSIGN_OR_RETURN(workers, DiscoverHosts(request, sets, launch));
  }
  if (workers < 1) {
    return absl::InvalidArgumentError(
        "how many workers? Give -np N, or world.size in the job file");
  }
  if (!have_hosts) launch.hosts = {{"localhost", workers}};
  SLUICE_ASSIGN_OR_RETURN(launch.placements, Place(launch.hosts, workers));
  for (const HostSlots& host : launch.hosts) launch.is_local.push_back(IsLocal(launch, host.host));
  const bool program = launch.job.program().command_size() > 0;
  if (program && std::count(launch.is_local.begin(), launch.is_local.end(), true) > 0) {
    SLUICE_RETURN_IF_ERROR(FindTrainingProgram(launch.job).status());
  }
  if (const std::string chaos = absl::GetFlag(FLAGS_chaos); !chaos.empty()) {
    if (program) {
      return absl::InvalidArgumentError("--chaos strikes the built-in trainer, not programs");
    }
    SLUICE_RETURN_IF_ERROR(LoadChaos(chaos, workers).status());
    SLUICE_ASSIGN_OR_RETURN(launch.chaos, AbsolutePath(chaos));
  }
  SLUICE_ASSIGN_OR_RETURN(launch.profilers, ProfilersOf(launch.job));
  launch.job_id = RandomId();
  SLUICE_ASSIGN_OR_RETURN(launch.self, OwnPath());
  launch.run_directory = RunDirectoryOf(
      launch.job,
      absl::StrCat(absl::FormatTime("%Y%m%d-%H%M%S", absl::Now(), absl::LocalTimeZone()), "-",
                   launch.job_id));
  launch.ssh.port = Either(FLAGS_p, FLAGS_ssh_port);
  launch.ssh.identity_file = Either(FLAGS_i, FLAGS_ssh_identity_file);
  launch.ssh.accept_new = absl::GetFlag(FLAGS_ssh_accept_new);
  std::vector<std::string> interfaces = line.All("network_interface");
  for (std::string& more : line.All("network_interfaces")) interfaces.push_back(std::move(more));
  launch.network_interface = absl::StrJoin(interfaces, ",");
  launch.coordinator_port = absl::GetFlag(FLAGS_coordinator_port);
  if (!launch.all_local()) {
    const char* program = launch.reach == Launch::Reach::kSsh ? "ssh" : "srun";
    std::string& path = launch.reach == Launch::Reach::kSsh ? launch.ssh.program : launch.srun;
    SLUICE_ASSIGN_OR_RETURN(path, FindProgram(program));
  } else if (request.script != nullptr) {
    if (auto ssh = FindProgram("ssh"); ssh.ok()) launch.ssh.program = *ssh;  // for hosts to come
  }
  return launch;
}

// Hosts that have workers and are not this one.
std::vector<std::string> OtherHosts(const Launch& launch) {
  std::vector<std::string> others;
  std::set<int> seen;
  for (const Placement& place : launch.placements) {
    if (launch.is_local[place.host] || !seen.insert(place.host).second) continue;
    others.push_back(launch.hosts[place.host].host);
  }
  return others;
}

// Where the coordinator listens, as all hosts reach it: the address that ssh's other ends saw us come from.
absl::Status FindAddress(const std::vector<std::string>& others,
                         const std::vector<RemoteHost>& answers, Launch& launch) {
  std::string address;
  if (!launch.network_interface.empty()) {
    const std::string first =
        launch.network_interface.substr(0, launch.network_interface.find(','));
    SLUICE_ASSIGN_OR_RETURN(address, AddressOf(first));
  }
  for (size_t i = 0; i < others.size() && launch.network_interface.empty(); ++i) {
    const std::string seen = i < answers.size() && !answers[i].our_address.empty()
                                 ? answers[i].our_address
                                 : AddressTowards(others[i]);
    if (address.empty()) address = seen;
    if (seen == address) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "SL1011 ", others.front(), " reaches this host at ", address, ", ", others[i], " at ", seen,
        ". Choose the network that all share: --network-interface NAME"));
  }
  launch.bind = address;
  launch.coordinator_host = address;
  return absl::OkStatus();
}

// Asks the other hosts whether they can take part.
absl::Status ReachHosts(Launch& launch) {
  const std::vector<std::string> others = OtherHosts(launch);
  if (others.empty() && launch.network_interface.empty()) return absl::OkStatus();
  std::vector<RemoteHost> answers;
  if (launch.reach == Launch::Reach::kSsh && !others.empty()) {
    const int patience = std::max(1, std::min(30, absl::GetFlag(FLAGS_start_timeout)));
    SLUICE_ASSIGN_OR_RETURN(answers,
                            ProbeHosts(launch.ssh, others, launch.self, absl::Seconds(patience)));
  }
  return FindAddress(others, answers, launch);
}

// New ones for this job alone, unless the user has some.
absl::Status TakeCredentials(Launch& launch) {
  const std::string folder = absl::GetFlag(FLAGS_credentials);
  if (folder.empty()) {
    launch.credentials = MakeCredentials(absl::Now(), kJobValidity);
    return absl::OkStatus();
  }
  SLUICE_ASSIGN_OR_RETURN(launch.credentials, LoadCredentials(folder, absl::Now()));
  return absl::OkStatus();
}

std::string Describe(const ChildSpec& spec) {
  std::string line;
  for (const auto& [name, value] : spec.environment) absl::StrAppend(&line, name, "=", value, " ");
  return absl::StrCat("# ", spec.name, "\n", line, absl::StrJoin(spec.argv, " "), "\n");
}

absl::Status DryRun(const Launch& launch) {
  std::printf("# %s/job.yaml\n%s\n", launch.run_directory.c_str(), JobToYaml(launch.job).c_str());
  for (const Placement& place : launch.placements) {
    std::printf("# rank %d on %s%s, local rank %d of %d\n", place.rank,
                launch.hosts[place.host].host.c_str(),
                launch.is_local[place.host] ? " (this host)" : "", place.local_rank,
                place.local_size);
  }
  std::printf("%s", Describe(CoordinatorSpec(launch, -1)).c_str());
  const std::string coordinator =
      absl::StrCat(launch.all_local() ? launch.coordinator_host : "ADDRESS", ":PORT");
  for (const Placement& place : launch.placements) {
    SLUICE_ASSIGN_OR_RETURN(const ChildSpec spec,
                            MemberSpec(launch, "worker", place.rank, coordinator));
    std::printf("%s", Describe(spec).c_str());
    if (launch.job.program().command_size() > 0) {
      std::printf("# rank %d then starts\n%s\n", place.rank, CommandText(launch.job).c_str());
    }
  }
  for (int slot = 0; slot < launch.profilers; ++slot) {
    SLUICE_ASSIGN_OR_RETURN(const ChildSpec spec,
                            MemberSpec(launch, "profiler", slot, coordinator));
    std::printf("%s", Describe(spec).c_str());
  }
  return absl::OkStatus();
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "orchestrator run: %s\n", std::string(status.message()).c_str());
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
      return kExitUnreachable;
    case absl::StatusCode::kUnauthenticated:
      return kExitPermission;
    case absl::StatusCode::kResourceExhausted:
      return kExitStorage;
    default:
      return kExitConfig;
  }
}

}  // namespace

int RunCommand(const CommandLine& line) {
  SetLogIdentity("driver");
  auto request = ReadRequest(line);
  if (!request.ok()) {
    (void)Fail(request.status());
    return kExitUsage;
  }
  auto launch = Plan(*request, line);
  if (!launch.ok()) return Fail(launch.status());
  if (absl::GetFlag(FLAGS_dry_run)) {
    const absl::Status shown = DryRun(*launch);
    return shown.ok() ? kExitOk : Fail(shown);
  }
  if (absl::GetFlag(FLAGS_verbose) && absl::GetFlag(FLAGS_log_level) == "INFO") {
    (void)SetLogLevel("DEBUG");  // every process's start and end
  }
  if (absl::Status status = ReachHosts(*launch); !status.ok()) return Fail(status);
  if (absl::Status status = TakeCredentials(*launch); !status.ok()) return ExitCodeFor(status);
  if (absl::Status status = PrepareRunDirectory(*launch); !status.ok()) return ExitCodeFor(status);
  std::unique_ptr<OutputFiles> files;
  if (const std::string folder = absl::GetFlag(FLAGS_output_filename); !folder.empty()) {
    auto made = OutputFiles::Create(folder, static_cast<int>(launch->placements.size()));
    if (!made.ok()) return ExitCodeFor(made.status());
    files = *std::move(made);
  }
  auto supervisor = Supervisor::Create();
  if (!supervisor.ok()) return ExitCodeFor(supervisor.status());
  supervisor->SetGrace(absl::Seconds(launch->job.checkpoint().grace_seconds()));
  if (files != nullptr) {
    supervisor->SetLineSink([&](const std::string& name, bool is_stderr, const std::string& text) {
      files->Write(name, is_stderr, text);
    });
  }
  std::optional<ElasticRoster> roster;
  if (launch->job.world().min_size() > 0) {
    roster.emplace(&*launch, std::move(request->script), files.get());
    supervisor->SetRoster(&*roster);
  }
  auto started = StartAll(*launch, *supervisor);
  if (!started.ok() && !absl::IsAborted(started.status())) return ExitCodeFor(started.status());
  if (started.ok() && roster.has_value()) roster->Begin(*std::move(started));
  return Conclude(*launch, supervisor->Wait(), files.get());
}

}  // namespace sluice
