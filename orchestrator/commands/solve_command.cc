#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/exit_codes.h"
#include "orchestrator/commands/commands.h"
#include "policies/solver/instance_json.h"

namespace sluice {

int SolveCommand(const CommandLine& line) {
  if (line.positional.size() != 1) {
    std::fprintf(stderr, "orchestrator solve: takes one file, %zu given\n", line.positional.size());
    return kExitUsage;
  }
  const std::string& path = line.positional.front();
  std::ifstream file(path);
  if (!file) {
    std::fprintf(stderr, "orchestrator solve: cannot read %s: %s\n", path.c_str(),
                 std::strerror(errno));
    return kExitStorage;
  }
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  auto solved = SolveInstancesJson(
      text, [] { return absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()); });
  if (!solved.ok()) {
    std::fprintf(stderr, "orchestrator solve: %s: %s\n", path.c_str(),
                 std::string(solved.status().message()).c_str());
    return kExitConfig;
  }
  std::printf("%s\n", solved->c_str());
  return kExitOk;
}

}  // namespace sluice
