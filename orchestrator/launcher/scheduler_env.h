#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "orchestrator/launcher/host_list.h"

namespace sluice {

/// What other launchers and schedulers tell a process through its environment. Pure: the environment is a value.

/// Environment variables by name.
using Environment = std::map<std::string, std::string>;

/// Which of how many a process is, as whoever started it says.
struct GivenRank {
  std::string source;  ///< "Slurm", "Open MPI", ...; empty: nobody said anything, so it is 0 of 1
  int rank = 0;
  int size = 1;
  std::optional<int> local_size;      ///< processes on this host, if told
  std::vector<std::string> warnings;  ///< other sets that disagree
};

/// The first complete set of: SLUICE_*, HOROVOD_*, torchrun's, Open MPI's, PMI's (MPICH, Intel, Cray), Slurm's.
/// \error kInvalidArgument  a set with only a rank or only a size before a complete one (both variables are named); a
///                          value that is no number or out of range; PMIx alone, which gives no size
absl::StatusOr<GivenRank> ReadRank(const Environment& environment);

/// Where the processes of one job meet, and what the job is called.
struct MeetingPoint {
  std::string host;   ///< of rank 0, as the others reach it
  uint16_t port = 0;  ///< 0 = any: the process is alone
  /// The same for all processes, fit for a file name; empty = nobody gave one, and the process is alone.
  std::string job_id;
};

/// MASTER_ADDR and MASTER_PORT where they are set; under Slurm otherwise the first node of the step, else loopback if all
/// processes are on this host, and a port between 20000 and 29999 that follows from the job's id.
/// \error kInvalidArgument  several hosts and no MASTER_ADDR: what to set; a bad port
absl::StatusOr<MeetingPoint> FindMeetingPoint(const Environment& environment,
                                              const GivenRank& rank);

/// What a Slurm job has been given.
struct SlurmAllocation {
  std::string job_id;
  std::vector<HostSlots> hosts;
};

/// nullopt outside of an allocation.
/// \error kInvalidArgument  a list that does not parse, or lists that do not fit together
absl::StatusOr<std::optional<SlurmAllocation>> ReadSlurmAllocation(const Environment& environment);

/// `gpu[01-03,07],login5` -> gpu01 gpu02 gpu03 gpu07 login5. Several groups per name: the first varies slowest.
/// \error kInvalidArgument  the list, what was expected, where; more than kMostHosts
absl::StatusOr<std::vector<std::string>> ParseSlurmNodeList(absl::string_view text);

/// `4(x2),3` -> 4, 4, 3. \error kInvalidArgument as above
absl::StatusOr<std::vector<int>> ParseSlurmTaskCounts(absl::string_view text);

}  // namespace sluice
