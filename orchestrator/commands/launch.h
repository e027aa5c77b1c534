#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "orchestrator/launcher/child_process.h"
#include "orchestrator/launcher/host_list.h"
#include "orchestrator/launcher/output_files.h"
#include "orchestrator/launcher/placement.h"
#include "orchestrator/launcher/ssh.h"
#include "orchestrator/launcher/supervisor.h"
#include "orchestrator/launcher/worker_environment.h"
#include "proto/job.pb.h"
#include "security/credentials.h"

namespace sluice {

/// What a launcher has decided before a process starts, and the processes that follow from it.
struct Launch {
  /// How processes on other hosts are started.
  enum class Reach { kSsh, kSrun };

  proto::JobConfig job;
  std::string job_id;
  std::string run_directory;
  std::string self;  ///< path of this program, the same on every host
  int profilers = 0;
  std::vector<HostSlots> hosts;
  std::vector<bool> is_local;         ///< by host
  std::vector<Placement> placements;  ///< by rank
  /// A worker's process, as its environment tells it.
  struct Incarnation {
    int64_t generation = 1;  ///< the earliest that it can take part in
    int restarts = 0;        ///< of this slot so far
    int size = 0;            ///< workers at its start; 0 = world.size
  };
  std::map<int, Incarnation> incarnations;  ///< by slot, where they are others than of the start
  std::map<int, int> profiler_hosts;        ///< by slot, where they are others than of the start
  Reach reach = Reach::kSsh;
  SshOptions ssh;
  std::string srun;                            ///< path
  std::string bind = "127.0.0.1";              ///< where the coordinator listens
  std::string coordinator_host = "127.0.0.1";  ///< as members reach it
  int coordinator_port = 0;                    ///< 0 = any free one
  std::string network_interface;               ///< to use, with commas; empty = any
  Environment environment;                     ///< of this process
  EnvironmentWishes wishes;
  std::string chaos;        ///< path of a plan of faults; empty: none
  Credentials credentials;  ///< of the job's processes, which get them over standard input

  bool all_local() const;
  /// Whether nothing of the job leaves this host.
  bool one_host() const;
  /// Profilers are spread over the ranks; the first one is beside rank 0.
  int ProfilerHost(int slot) const;
};

/// Whether `host` is this machine, so that its processes are started directly.
bool IsLocal(const Launch& launch, const std::string& host);

/// Where the coordinator is, and what it tells the launcher.
struct CoordinatorLine {
  CoordinatorLine() = default;
  ~CoordinatorLine();
  CoordinatorLine(const CoordinatorLine&) = delete;
  /// Takes in what the coordinator has said since, without waiting.
  void ReadGenerations();

  std::string coordinator;  ///< HOST:PORT
  int64_t generation = 0;   ///< the newest that has started
  std::vector<int> slots;   ///< of its ranks
  int read_fd = -1;         ///< owned, as the next
  int write_fd = -1;        ///< for a coordinator that is started again
  std::string rest;         ///< of a line that is not whole yet
};

/// The path of this program.
absl::StatusOr<std::string> OwnPath();

/// A new job id.
std::string RandomId();

/// `report.directory/NAME-SUFFIX` of the job, unless --run-directory is given.
std::string RunDirectoryOf(const proto::JobConfig& job, const std::string& suffix);

/// Makes the run directory, makes its path absolute, and writes the job into it.
/// \error kInvalidArgument    it holds another run's files
/// \error kResourceExhausted  it cannot be written
absl::Status PrepareRunDirectory(Launch& launch);

ChildSpec CoordinatorSpec(const Launch& launch, int announce_fd);

/// \param kind         "worker" or "profiler"
/// \param slot         a worker's rank; its host is the one of its placement, a profiler's Launch::ProfilerHost
/// \param coordinator  HOST:PORT
/// \error kInvalidArgument  too much for another host: see EncodeRemoteStart
absl::StatusOr<ChildSpec> MemberSpec(const Launch& launch, const std::string& kind, int slot,
                                     const std::string& coordinator);

/// The name of the host on which a member runs, as the user wrote it.
std::string HostOf(const Launch& launch, const std::string& kind, int slot);

/// Starts the coordinator and then, once it listens, those of `placements` and the profilers.
/// \return where it is; to be kept while the supervisor waits
/// \error kAborted  something or somebody ended it before
absl::StatusOr<std::unique_ptr<CoordinatorLine>> StartAll(const Launch& launch,
                                                          Supervisor& supervisor);

/// Says on standard error how everything ended, if badly. \param files  may be null
/// \return the launcher's exit code
int Conclude(const Launch& launch, const Supervisor::Outcome& outcome, OutputFiles* files);

}  // namespace sluice
