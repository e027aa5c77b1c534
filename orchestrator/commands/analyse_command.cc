#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/exit_codes.h"
#include "base/status_macros.h"
#include "models/graph/analysis_report.h"
#include "models/graph/class_report.h"
#include "models/graph/network_analysis.h"
#include "orchestrator/commands/commands.h"
#include "orchestrator/commands/flags.h"

namespace sluice {
namespace {

// "1x28x28": an input's extents, without the batch.
absl::StatusOr<std::vector<int64_t>> ReadExample(const std::string& text) {
  std::vector<int64_t> extents;
  for (const absl::string_view part : absl::StrSplit(text, 'x')) {
    int64_t extent = 0;
    if (!absl::SimpleAtoi(part, &extent) || extent < 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("--example \"", text,
                       "\": expected an input's extents without the batch, as in 1x28x28; one "
                       "number is that many tokens"));
    }
    extents.push_back(extent);
  }
  return extents;
}

absl::StatusOr<graph::AnalysisRequest> ReadRequest(const CommandLine& line) {
  graph::AnalysisRequest request;
  const std::string name = absl::GetFlag(FLAGS_model);
  if (line.positional.size() + (name.empty() ? 0 : 1) != 1) {
    return absl::InvalidArgumentError(
        "takes a TorchScript file, or the name of a network with --model. Example: orchestrator "
        "analyse model.pt --example 1x28x28");
  }
  if (name.empty()) {
    request.model.set_torchscript(line.positional.front());
  } else {
    request.model.set_name(name);
  }
  for (const std::string& text : line.All("example")) {
    SLUICE_ASSIGN_OR_RETURN(std::vector<int64_t> extents, ReadExample(text));
    request.examples.push_back(std::move(extents));
  }
  if (request.examples.empty()) {
    return absl::InvalidArgumentError(
        "needs the shape of each input: a file does not tell it. Example: --example 1x28x28");
  }
  request.classes = absl::GetFlag(FLAGS_classes);
  if (request.classes < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("--classes ", request.classes, ": expected a number above 0"));
  }
  request.options.divisor = absl::GetFlag(FLAGS_divisor);
  if (request.options.divisor < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("--divisor ", request.options.divisor, ": expected a number above 0"));
  }
  request.options.keep = line.All("keep");
  return request;
}

}  // namespace

int AnalyseCommand(const CommandLine& line) {
  const auto request = ReadRequest(line);
  if (!request.ok()) {
    std::fprintf(stderr, "orchestrator analyse: %s\n",
                 std::string(request.status().message()).c_str());
    return kExitUsage;
  }
  const auto analysis = graph::AnalyseNetwork(*request);
  if (!analysis.ok()) {
    std::fprintf(stderr, "orchestrator analyse: %s\n",
                 std::string(analysis.status().message()).c_str());
    return ExitCodeForStatus(analysis.status());
  }
  if (const std::string path = absl::GetFlag(FLAGS_dot); !path.empty()) {
    std::ofstream file(path);
    file << graph::ClassDot(analysis->graph, analysis->axes, analysis->classes);
    file.close();
    if (!file) {
      std::fprintf(stderr, "orchestrator analyse: cannot write %s\n", path.c_str());
      return kExitStorage;
    }
  }
  if (absl::GetFlag(FLAGS_json)) {
    std::printf("%s\n", graph::AnalysisJson(*analysis).c_str());
  } else {
    std::fputs(graph::AnalysisText(*analysis).c_str(), stdout);
  }
  return kExitOk;
}

}  // namespace sluice
