#include <cstdio>

#include "absl/time/clock.h"
#include "base/exit_codes.h"
#include "orchestrator/commands/commands.h"
#include "orchestrator/commands/process_setup.h"
#include "security/credential_source.h"

namespace sluice {

int CredentialsCommand(const CommandLine& line) {
  if (line.positional.size() != 1) {
    std::fprintf(stderr, "orchestrator credentials: expected one folder, %zu given\n",
                 line.positional.size());
    return kExitUsage;
  }
  if (absl::Status status = EnterUserDirectory(); !status.ok()) return ExitCodeFor(status);
  const std::string& directory = line.positional.front();
  const absl::Time now = absl::Now();
  if (absl::Status status = WriteCredentials(directory, MakeCredentials(now, kFolderValidity));
      !status.ok()) {
    return ExitCodeFor(status);
  }
  std::printf(
      "%s holds credentials that are valid until %s. Give --credentials to every process of the "
      "job; key.pem and token are secrets\n",
      directory.c_str(),
      absl::FormatTime("%Y-%m-%d", now + kFolderValidity, absl::UTCTimeZone()).c_str());
  return kExitOk;
}

}  // namespace sluice
