#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice {

/// Hosts or workers of one list, at most.
inline constexpr int kMostHosts = 65536;
inline constexpr int kMostSlots = 65536;

/// A machine, and how many workers may run on it.
struct HostSlots {
  std::string host;  ///< name, IPv4 or IPv6 address without brackets, as ssh takes it
  int slots = 1;
};

/// What `-H` takes:
///
///     list  := item { "," item }          spaces around commas are allowed
///     item  := host [ ":" slots ]         slots missing = 1
///     host  := name | IPv4 | "[" IPv6 "]"
///     slots := positive integer
///
/// Order is kept: it is the order of ranks.
/// \error kInvalidArgument  the text, the position (first character = 1) and what was expected; a host that is
///                          named twice, with both positions
absl::StatusOr<std::vector<HostSlots>> ParseHostList(absl::string_view text);

/// A host file, read.
struct HostFile {
  std::vector<HostSlots> hosts;    ///< in the order of lines; slots may be 0 = known, but unused
  std::vector<std::string> notes;  ///< what was read and ignored, with file and line
};

/// The host files of Open MPI (`node01 slots=4`), MPICH (`node01:4`) and Horovod, one host a line, with comments.
/// \param name  of the file, for messages
/// \error kInvalidArgument  `name:line:`, the line and what was expected; a host twice, with both lines; no host
absl::StatusOr<HostFile> ParseHostFile(absl::string_view text, absl::string_view name);

/// ParseHostFile of a file of at most 1 MiB. \error kNotFound with the system's reason
absl::StatusOr<HostFile> LoadHostFile(const std::string& path);

/// What a host discovery script printed.
struct DiscoveredHosts {
  /// A line that names no host.
  struct Problem {
    std::string line;
    std::string message;  ///< with the number of the line, and what was expected
  };
  std::vector<HostSlots> hosts;  ///< in the order of lines; slots may be 0 = known, but unused
  std::vector<Problem> problems;
};

/// One host a line as in a host file, of a script's output: `node01:4`, `node01 slots=4`, or `node01` alone. Lines
/// that are wrong, or name a host again, are left out and told as problems; no host at all is a good answer.
/// \param slots_per_host  of hosts without a number; 0 = they need one
/// \param name            of the script, for messages
DiscoveredHosts ParseDiscoveredHosts(absl::string_view text, int slots_per_host,
                                     absl::string_view name);

/// "node01 4, node02 2", for messages.
std::string ToString(const std::vector<HostSlots>& hosts);

}  // namespace sluice
