#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace sluice {

/// What allreduce_bench is asked to measure. Sizes are in bytes of the reduced vector.
struct AllReduceBenchOptions {
  enum class Network {
    kShm,     // shared memory
    kTcp,     // TCP over loopback
    kNetlab,  // TCP between network namespaces with rate-limited links
  };

  int ranks = 2;
  int64_t min_bytes = 1 << 10;
  int64_t max_bytes = 16 << 20;
  int64_t factor = 4;      // from size to size, unless step_bytes is set
  int64_t step_bytes = 0;  // from size to size; 0: by factor
  int iterations = 20;
  int warmup = 5;
  bool check = true;
  bool out_of_place = false;
  std::string algorithm = "auto";
  int64_t chunk_bytes = 0;
  int ranks_per_host = 0;  // what the algorithm is told; 0: netlab 1, else all
  Network network = Network::kShm;
  std::string rate;           // netlab: of each host's link, as tc takes it
  std::string netlab_prefix;  // netlab: hosts that are up; empty: make them
  std::string json;           // file to write; empty: none
  absl::Duration timeout = absl::Minutes(1);

  bool help = false;
  int rank = -1;  // >= 0: this process is that rank, started by the one the user started
  double link_bytes_per_second = 0;  // what the latter measured; 0: nothing

  /// The vector sizes to measure, ascending, each a multiple of four bytes.
  std::vector<int64_t> Sizes() const;
  /// "shm", "tcp", "netlab:1gbit".
  std::string Transport() const;
};

/// \param args  without the program's name; `-b 8K`, `--min-bytes 8K` and `--min-bytes=8K` are the
///              same
/// \error kInvalidArgument  naming the word and what was expected
absl::StatusOr<AllReduceBenchOptions> ParseAllReduceBenchOptions(
    const std::vector<std::string>& args);

/// "4096", "4K", "16M", "1G", with factors of 1024. \error kInvalidArgument
absl::StatusOr<int64_t> ParseBytes(absl::string_view text);

/// What --help prints.
extern const char kAllReduceBenchUsage[];

}  // namespace sluice
