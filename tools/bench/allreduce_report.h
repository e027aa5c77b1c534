#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "tools/bench/allreduce_options.h"
#include "tools/bench/allreduce_rank.h"

namespace sluice {

/// One size in one mode, over all ranks and iterations; every time is that of the slowest rank.
struct AllReduceSummary {
  double median_us = 0;
  double least_us = 0;
  double greatest_us = 0;
  double algbw = 0;  // 10^9 bytes/s, of the median
  double busbw = 0;
  int64_t wrong = 0;
};

/// \param ranks  what each measured; as many iterations everywhere, at least one
AllReduceSummary Summarise(int64_t bytes, absl::Span<const AllReduceTimes> ranks);

struct AllReduceRow {
  int64_t bytes = 0;
  std::optional<AllReduceSummary> out_of_place;
  AllReduceSummary in_place;
};

/// What the figures were measured on.
struct AllReduceMachine {
  std::string host, processor, kernel, ucx, compiler;
  int cores = 0;
  double load = 0;  // runnable processes over the last minute, at the start
  std::vector<std::string> command_line;
};

AllReduceMachine DescribeMachine(std::vector<std::string> command_line);

/// The lines that begin with # before the rows.
std::string TableHead(const AllReduceBenchOptions& options, const AllReduceMachine& machine);
std::string TableRow(const AllReduceBenchOptions& options, const AllReduceRow& row);
/// The last lines: wrong values and average busbw, as nccl-tests has them.
std::string TableFoot(const AllReduceBenchOptions& options, absl::Span<const AllReduceRow> rows);

/// The same as a JSON object (docs/benchmarks.md).
std::string ToJson(const AllReduceBenchOptions& options, const AllReduceMachine& machine,
                   absl::Span<const AllReduceRow> rows);

}  // namespace sluice
