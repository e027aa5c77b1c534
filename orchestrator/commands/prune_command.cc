#include <cstdio>
#include <string>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "base/exit_codes.h"
#include "base/status_macros.h"
#include "orchestrator/commands/commands.h"
#include "orchestrator/commands/flags.h"
#include "orchestrator/commands/process_setup.h"
#include "orchestrator/commands/trained_model.h"
#include "orchestrator/report/pruned_text.h"
#include "training/pruned_network.h"

namespace sluice {
namespace {

absl::Status Run(const CommandLine& line) {
  SLUICE_ASSIGN_OR_RETURN(const TrainedModel model,
                          FindTrainedModel(line.positional.front(), line.sets));
  const std::string out = absl::GetFlag(FLAGS_out);
  SLUICE_ASSIGN_OR_RETURN(const PrunedNetwork pruned,
                          WritePrunedNetwork(model.job, model.checkpoint, out));
  const std::string text = absl::GetFlag(FLAGS_json)
                               ? PrunedJson(pruned, model.checkpoint, out) + "\n"
                               : PrunedText(pruned, model.checkpoint, out);
  std::fputs(text.c_str(), stdout);
  return absl::OkStatus();
}

int Complain(const absl::Status& status, int exit_code) {
  std::fprintf(stderr, "orchestrator prune: %s\n", std::string(status.message()).c_str());
  return exit_code;
}

}  // namespace

int PruneCommand(const CommandLine& line) {
  if (absl::Status status = EnterUserDirectory(); !status.ok()) return Complain(status, kExitUsage);
  absl::Status usage;
  if (line.positional.size() != 1) {
    usage = absl::InvalidArgumentError(
        absl::StrCat("takes one checkpoint or run directory, ", line.positional.size(), " given"));
  } else if (absl::GetFlag(FLAGS_out).empty()) {
    usage = absl::InvalidArgumentError("needs --out FILE, for the smaller network");
  }
  if (!usage.ok()) return Complain(usage, kExitUsage);
  const absl::Status done = Run(line);
  return done.ok() ? kExitOk : Complain(done, ExitCodeForStatus(done));
}

}  // namespace sluice
