#include "orchestrator/config/chaos_loader.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "orchestrator/config/error_list.h"
#include "orchestrator/config/field_value.h"
#include "orchestrator/config/message_filler.h"
#include "orchestrator/config/nearest_word.h"
#include "orchestrator/config/yaml_reader.h"

namespace sluice {
namespace {

const std::vector<std::string>& Faults() {
  static const auto* const faults = new std::vector<std::string>{
      "kill",      "stop",    "delay",           "nan", "slow_link", "drop",
      "partition", "corrupt", "coordinator_kill"};
  return *faults;
}

// Lines of the elements of `faults`, in order.
std::vector<int> LinesOfFaults(const Node& root) {
  std::vector<int> lines;
  for (size_t i = 0; i < root.keys.size(); ++i) {
    if (root.keys[i].text != "faults") continue;
    for (const Node& element : root.values[i].values) lines.push_back(element.line);
  }
  return lines;
}

void CheckFault(const proto::ChaosFault& fault, int world_size, const std::string& where,
                ErrorList& errors) {
  if (std::find(Faults().begin(), Faults().end(), fault.fault()) == Faults().end()) {
    errors.Add(where, absl::StrCat("fault ", Quoted(fault.fault()), " is not known",
                                   DidYouMean(fault.fault(), Faults()),
                                   ". Faults: ", absl::StrJoin(Faults(), ", ")));
  }
  if ((fault.at_step() >= 0) == (fault.after_seconds() >= 0)) {
    errors.Add(where, "expected either at_step or after_seconds");
  }
  int rank = 0;
  if (fault.rank() != "random" &&
      (!absl::SimpleAtoi(fault.rank(), &rank) || rank < 0 || rank >= world_size)) {
    errors.Add(where, absl::StrCat("rank: expected random, or a number in [0, ", world_size - 1,
                                   "], got ", Quoted(fault.rank())));
  }
  if (fault.to() >= world_size) {
    errors.Add(where,
               absl::StrCat("to: expected a rank in [0, ", world_size - 1, "], got ", fault.to()));
  }
}

}  // namespace

absl::StatusOr<proto::ChaosPlan> ParseChaos(absl::string_view text, absl::string_view name,
                                            int world_size) {
  if (text.size() > kMaxJobFileBytes) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": more than 1 MiB"));
  }
  SLUICE_ASSIGN_OR_RETURN(const Node root, ReadYaml(text, name));
  proto::ChaosPlan plan;
  SetDefaults(plan);
  ErrorList errors;
  std::map<std::string, std::string> origins;
  MessageFiller({std::string(name), true, false}, errors, origins).Fill(root, plan);
  SLUICE_RETURN_IF_ERROR(errors.ToStatus());
  const std::vector<int> lines = LinesOfFaults(root);
  for (int i = 0; i < plan.faults_size(); ++i) {
    const int line = static_cast<size_t>(i) < lines.size() ? lines[static_cast<size_t>(i)] : 1;
    CheckFault(plan.faults(i), world_size, absl::StrCat(name, ":", line), errors);
  }
  SLUICE_RETURN_IF_ERROR(errors.ToStatus());
  return plan;
}

absl::StatusOr<proto::ChaosPlan> LoadChaos(const std::string& path, int world_size) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file) {
    return absl::NotFoundError(
        absl::StrCat("cannot read the chaos file ", path, ": ", std::strerror(errno)));
  }
  return ParseChaos(text, path, world_size);
}

}  // namespace sluice
