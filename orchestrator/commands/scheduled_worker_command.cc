#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/flags/flag.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "actors/policy_publisher.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "orchestrator/commands/commands.h"
#include "orchestrator/commands/flags.h"
#include "orchestrator/commands/launch.h"
#include "orchestrator/commands/process_setup.h"
#include "orchestrator/commands/program.h"
#include "orchestrator/config/job_loader.h"
#include "orchestrator/config/job_writer.h"
#include "orchestrator/launcher/network.h"
#include "orchestrator/launcher/remote_start.h"
#include "orchestrator/launcher/worker_environment.h"
#include "security/credential_source.h"
#include "security/credentials.h"

namespace sluice {
namespace {

// What every process of the job works out for itself, all to the same result.
struct Share {
  GivenRank given;
  MeetingPoint point;
  Launch launch;  // of rank 0: coordinator, worker 0 and the profilers
};

absl::StatusOr<Share> WorkOut(const CommandLine& line) {
  SLUICE_RETURN_IF_ERROR(EnterUserDirectory());
  Share share;
  Launch& launch = share.launch;
  launch.environment = CurrentEnvironment();
  SLUICE_ASSIGN_OR_RETURN(share.given, ReadRank(launch.environment));
  SLUICE_ASSIGN_OR_RETURN(share.point, FindMeetingPoint(launch.environment, share.given));
  std::vector<std::string> sets = line.sets;
  sets.push_back(absl::StrCat("world.size=", share.given.size));
  SLUICE_ASSIGN_OR_RETURN(const proto::JobConfig job, LoadJob(line.positional.front(), sets));
  SLUICE_ASSIGN_OR_RETURN(launch.job, WithProgram(job, line.after_dashes));
  SLUICE_ASSIGN_OR_RETURN(launch.profilers, ProfilersOf(launch.job));
  launch.job_id = absl::GetFlag(FLAGS_job_id);
  if (launch.job_id.empty()) launch.job_id = share.point.job_id;
  if (launch.job_id.empty()) launch.job_id = RandomId();  // alone
  SLUICE_ASSIGN_OR_RETURN(launch.self, OwnPath());
  launch.run_directory = RunDirectoryOf(launch.job, launch.job_id);
  return share;
}

bool OnLoopback(const MeetingPoint& point) {
  return point.host == "localhost" || point.host == "::1" || absl::StartsWith(point.host, "127.");
}

// Where rank 0 listens so that others find it at the meeting point.
std::string BindAddress(const MeetingPoint& point) {
  if (OnLoopback(point)) return "127.0.0.1";
  const std::vector<std::string> wanted = Resolve(point.host);
  for (const InterfaceAddress& own : InterfaceAddresses()) {
    // A name that is on loopback here, as /etc/hosts often has it, is not so elsewhere.
    if (own.loopback) continue;
    if (std::find(wanted.begin(), wanted.end(), own.address) != wanted.end()) return own.address;
  }
  SLUICE_LOG(Warning, point.host,
             " is no address of an interface of this host: the coordinator listens on all of them");
  return "0.0.0.0";
}

// Where rank 0 leaves the credentials of this job for the others, unless the user has some.
std::string HandedOver(const Launch& launch) { return launch.run_directory + "/credentials"; }

// Rank 0's. Removed when the job is over.
absl::Status MakeOrLoadCredentials(Launch& launch) {
  if (const std::string folder = absl::GetFlag(FLAGS_credentials); !folder.empty()) {
    SLUICE_ASSIGN_OR_RETURN(launch.credentials, LoadCredentials(folder, absl::Now()));
    return absl::OkStatus();
  }
  launch.credentials = MakeCredentials(absl::Now(), kJobValidity);
  const std::string temporary = HandedOver(launch) + ".tmp";
  std::filesystem::remove_all(temporary);  // of a job of this id that was killed
  std::filesystem::remove_all(HandedOver(launch));
  SLUICE_RETURN_IF_ERROR(WriteCredentials(temporary, launch.credentials));
  if (rename(temporary.c_str(), HandedOver(launch).c_str()) != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat("cannot rename ", temporary, ": ", std::strerror(errno)));
  }
  return absl::OkStatus();
}

// Every other rank's: the folder, once rank 0 has filled it.
absl::StatusOr<std::string> AwaitCredentials(const Launch& launch) {
  if (const std::string folder = absl::GetFlag(FLAGS_credentials); !folder.empty()) return folder;
  const absl::Duration patience = absl::Seconds(absl::GetFlag(FLAGS_start_timeout));
  const absl::Time deadline = absl::Now() + patience;
  while (access(HandedOver(launch).c_str(), R_OK) != 0) {
    if (absl::Now() > deadline) {
      return absl::UnavailableError(
          absl::StrCat("rank 0 has left no credentials in ", HandedOver(launch), " within ",
                       absl::FormatDuration(patience),
                       ". Do the hosts share that folder? If not, make some with `orchestrator "
                       "credentials DIR`, "
                       "put DIR on every host and give --credentials DIR"));
    }
    absl::SleepFor(absl::Milliseconds(100));
  }
  return HandedOver(launch);
}

// Rank 0 is the launcher of what the job has once, and of its own worker.
int RunRankZero(Share& share) {
  Launch& launch = share.launch;
  launch.hosts = {{HostName(), 1}};
  launch.is_local = {true};
  launch.placements = {Placement()};
  launch.bind = BindAddress(share.point);
  launch.coordinator_host = launch.bind == "0.0.0.0" ? "127.0.0.1" : launch.bind;
  launch.coordinator_port = share.point.port;
  if (absl::Status status = PrepareRunDirectory(launch); !status.ok()) return ExitCodeFor(status);
  if (absl::Status status = MakeOrLoadCredentials(launch); !status.ok()) return ExitCodeFor(status);
  const absl::Cleanup remove = [&] {
    if (absl::GetFlag(FLAGS_credentials).empty()) std::filesystem::remove_all(HandedOver(launch));
  };
  auto supervisor = Supervisor::Create();
  if (!supervisor.ok()) return ExitCodeFor(supervisor.status());
  supervisor->SetGrace(absl::Seconds(launch.job.checkpoint().grace_seconds()));
  const auto started = StartAll(launch, *supervisor);
  if (!started.ok() && !absl::IsAborted(started.status())) return ExitCodeFor(started.status());
  return Conclude(launch, supervisor->Wait(), nullptr);
}

// Every other rank becomes the worker that `run` would have started.
int BecomeWorker(Share& share) {
  Launch& launch = share.launch;
  if (char* absolute = realpath(".", nullptr)) {
    if (launch.run_directory.front() != '/') {
      launch.run_directory = absl::StrCat(absolute, "/", launch.run_directory);
    }
    std::free(absolute);
  }
  const std::string job = launch.run_directory + "/job.yaml";
  if (absl::Status status = EnsureFile(job, JobToYaml(launch.job)); !status.ok()) {
    return ExitCodeFor(status);
  }
  auto credentials = AwaitCredentials(launch);
  if (!credentials.ok()) return ExitCodeFor(credentials.status());
  for (const auto& [name, value] :
       LibrarySettings(launch.job.training().threads(), launch.environment)) {
    setenv(name.c_str(), value.c_str(), /*overwrite=*/1);
  }
  if (OnLoopback(share.point)) setenv("UCX_NET_DEVICES", "lo", /*overwrite=*/0);
  std::vector<std::string> words = {
      launch.self,
      "worker",
      absl::StrCat("--job=", job),
      absl::StrCat("--job-id=", launch.job_id),
      absl::StrCat("--run-directory=", launch.run_directory),
      absl::StrCat("--log-level=", absl::GetFlag(FLAGS_log_level)),
      absl::StrCat("--start-timeout=", absl::GetFlag(FLAGS_start_timeout)),
      absl::StrCat("--coordinator=", share.point.host, ":", share.point.port),
      absl::StrCat("--slot=", share.given.rank),
      absl::StrCat("--credentials=", *credentials)};
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  execv(argv[0], argv.data());
  return ExitCodeFor(
      absl::InternalError(absl::StrCat("cannot start ", launch.self, ": ", std::strerror(errno))));
}

}  // namespace

int AnyWorkerCommand(const CommandLine& line) {
  if (line.positional.empty()) return WorkerCommand(line);
  if (line.positional.size() > 1) {
    std::fprintf(stderr, "orchestrator worker: one job file, %zu given\n", line.positional.size());
    return kExitUsage;
  }
  SetLogIdentity(absl::StrCat("worker ", HostName()));
  auto share = WorkOut(line);
  if (!share.ok()) return ExitCodeFor(share.status());
  SetLogIdentity(absl::StrCat("rank ", share->given.rank, " ", HostName()));
  for (const std::string& warning : share->given.warnings) SLUICE_LOG(Warning, warning);
  return share->given.rank == 0 ? RunRankZero(*share) : BecomeWorker(*share);
}

}  // namespace sluice
