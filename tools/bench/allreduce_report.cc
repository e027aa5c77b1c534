#include "tools/bench/allreduce_report.h"

#include <sched.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/version.h"
#include "comm/transport/ucx_transport.h"
#include "nlohmann/json.hpp"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

std::string ProcessorName() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (absl::StartsWith(line, "model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

std::string LinkText(const AllReduceBenchOptions& options) {
  if (options.link_bytes_per_second <= 0) return "not limited, not measured";
  return absl::StrFormat("%.1f MB/s measured with one plain TCP stream",
                         options.link_bytes_per_second / 1e6);
}

std::string Columns(const std::optional<AllReduceSummary>& summary, bool checked) {
  if (!summary) return absl::StrFormat("  %8s  %6s  %6s  %6s", "N/A", "N/A", "N/A", "N/A");
  const int digits = summary->median_us < 1000 ? 2 : 1;
  return absl::StrFormat("  %8.*f  %6.2f  %6.2f  %6s", digits, summary->median_us, summary->algbw,
                         summary->busbw, checked ? absl::StrCat(summary->wrong) : "N/A");
}

int64_t Wrong(absl::Span<const AllReduceRow> rows) {
  int64_t wrong = 0;
  for (const AllReduceRow& row : rows) {
    wrong += row.in_place.wrong + (row.out_of_place ? row.out_of_place->wrong : 0);
  }
  return wrong;
}

Json ToJson(const AllReduceSummary& summary, bool checked) {
  Json json = {{"time_us", summary.median_us},
               {"min_us", summary.least_us},
               {"max_us", summary.greatest_us},
               {"algbw_gb_s", summary.algbw},
               {"busbw_gb_s", summary.busbw}};
  json["wrong"] = checked ? Json(summary.wrong) : Json(nullptr);
  return json;
}

}  // namespace

AllReduceSummary Summarise(int64_t bytes, absl::Span<const AllReduceTimes> ranks) {
  std::vector<double> slowest(ranks[0].microseconds);
  AllReduceSummary summary;
  for (const AllReduceTimes& rank : ranks) {
    summary.wrong += rank.wrong;
    for (size_t i = 0; i < slowest.size(); ++i) {
      slowest[i] = std::max(slowest[i], rank.microseconds[i]);
    }
  }
  std::sort(slowest.begin(), slowest.end());
  const size_t half = slowest.size() / 2;
  summary.median_us =
      slowest.size() % 2 == 1 ? slowest[half] : (slowest[half - 1] + slowest[half]) / 2;
  summary.least_us = slowest.front();
  summary.greatest_us = slowest.back();
  const auto n = static_cast<double>(ranks.size());
  if (summary.median_us > 0) {
    summary.algbw = static_cast<double>(bytes) / summary.median_us / 1e3;
    summary.busbw = summary.algbw * 2 * (n - 1) / n;
  }
  return summary;
}

AllReduceMachine DescribeMachine(std::vector<std::string> command_line) {
  AllReduceMachine machine;
  utsname name{};
  if (uname(&name) == 0) {
    machine.host = name.nodename;
    machine.kernel = absl::StrCat(name.sysname, " ", name.release, " ", name.machine);
  }
  machine.processor = ProcessorName();
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) machine.cores = CPU_COUNT(&cores);
  if (getloadavg(&machine.load, 1) != 1) machine.load = 0;
  machine.ucx = UcxVersion();
  machine.compiler = __VERSION__;
  machine.command_line = std::move(command_line);
  return machine;
}

std::string TableHead(const AllReduceBenchOptions& options, const AllReduceMachine& machine) {
  std::string head = absl::StrCat(
      "# Sluice ", kVersion, ", UCX ", machine.ucx, ", compiled by ", machine.compiler, "\n# host ",
      machine.host, ": ", machine.cores, " cores, ", machine.processor, ", ", machine.kernel,
      ", load ", absl::StrFormat("%.2f", machine.load), "\n# ", options.ranks, " ranks over ",
      options.Transport(), ", algorithm ", options.algorithm, ", link ", LinkText(options),
      "\n# warm-up ", options.warmup, ", iterations ", options.iterations,
      ": median of the slowest rank's times\n# ", absl::StrJoin(machine.command_line, " "), "\n");
  absl::StrAppend(&head,
                  "#\n#                                                          out-of-place"
                  "                         in-place\n");
  absl::StrAppendFormat(&head, "#%11s  %12s  %6s  %6s  %4s", "size", "count", "type", "redop",
                        "root");
  for (int mode = 0; mode < 2; ++mode) {
    absl::StrAppendFormat(&head, "  %8s  %6s  %6s  %6s", "time", "algbw", "busbw", "#wrong");
  }
  absl::StrAppendFormat(&head, "  %8s  %8s\n", "min", "max");
  absl::StrAppendFormat(&head, "#%11s  %12s  %6s  %6s  %4s", "(B)", "(elements)", "", "", "");
  for (int mode = 0; mode < 2; ++mode) {
    absl::StrAppendFormat(&head, "  %8s  %6s  %6s  %6s", "(us)", "(GB/s)", "(GB/s)", "");
  }
  absl::StrAppendFormat(&head, "  %8s  %8s\n", "(us)", "(us)");
  return head;
}

std::string TableRow(const AllReduceBenchOptions& options, const AllReduceRow& row) {
  return absl::StrCat(
      absl::StrFormat("%12d  %12d  %6s  %6s  %4d", row.bytes, row.bytes / 4, "float", "sum", -1),
      Columns(row.out_of_place, options.check), Columns(row.in_place, options.check),
      absl::StrFormat("  %8.1f  %8.1f\n", row.in_place.least_us, row.in_place.greatest_us));
}

std::string TableFoot(const AllReduceBenchOptions& options, absl::Span<const AllReduceRow> rows) {
  double busbw = 0;
  for (const AllReduceRow& row : rows) busbw += row.in_place.busbw;
  const std::string wrong =
      options.check ? absl::StrCat(Wrong(rows), Wrong(rows) == 0 ? " OK" : " FAILED") : "N/A";
  return absl::StrFormat("# Out of bounds values : %s\n# Avg bus bandwidth    : %g\n", wrong,
                         rows.empty() ? 0 : busbw / static_cast<double>(rows.size()));
}

std::string ToJson(const AllReduceBenchOptions& options, const AllReduceMachine& machine,
                   absl::Span<const AllReduceRow> rows) {
  Json json = {{"benchmark", "allreduce"},        {"system", "sluice"},
               {"ranks", options.ranks},          {"transport", options.Transport()},
               {"algorithm", options.algorithm},  {"warmup", options.warmup},
               {"iterations", options.iterations}};
  json["link_bytes_per_second"] =
      options.link_bytes_per_second > 0 ? Json(options.link_bytes_per_second) : Json(nullptr);
  json["machine"] = {{"host", machine.host},
                     {"cores", machine.cores},
                     {"load", machine.load},
                     {"processor", machine.processor},
                     {"kernel", machine.kernel}};
  json["versions"] = {{"sluice", kVersion}, {"ucx", machine.ucx}, {"compiler", machine.compiler}};
  json["command_line"] = machine.command_line;
  json["rows"] = Json::array();
  for (const AllReduceRow& row : rows) {
    Json entry = {{"bytes", row.bytes},
                  {"count", row.bytes / 4},
                  {"type", "float"},
                  {"redop", "sum"},
                  {"root", -1}};
    entry["in_place"] = ToJson(row.in_place, options.check);
    if (row.out_of_place) entry["out_of_place"] = ToJson(*row.out_of_place, options.check);
    json["rows"].push_back(std::move(entry));
  }
  return json.dump(2) + "\n";
}

}  // namespace sluice
