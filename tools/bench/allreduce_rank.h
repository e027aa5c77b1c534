#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tools/bench/allreduce_options.h"
#include "tools/bench/allreduce_pipe.h"

namespace sluice {

/// What one rank, or all of them together, measured of one size in one mode.
struct AllReduceTimes {
  std::vector<double> microseconds;  // by iteration
  int64_t wrong = 0;                 // elements that differ from the sum, over all checks
};

/// One rank of the benchmark: connects with the others through the process at the other end of
/// `pipe`, and does every size of options.Sizes(). Each text that it writes is "+" and a value, or,
/// the last one, "-" and the message of an error:
///
///     rank -> parent: its UCX address
///     parent -> rank: the address of rank 0, of rank 1, ...
///     rank -> parent: AllReduceTimes, for each size: out-of-place if asked for, then in-place
///
/// \return what it also wrote as "-"
absl::Status RunAllReduceRank(const AllReduceBenchOptions& options, AllReducePipe& pipe);

/// The next text of a rank, without its "+"; an error if it begins with "-".
absl::StatusOr<std::string> ReadFromRank(AllReducePipe& pipe);

/// \error kDataLoss  `text` does not come from RunAllReduceRank
absl::StatusOr<AllReduceTimes> ParseAllReduceTimes(absl::string_view text);

}  // namespace sluice
