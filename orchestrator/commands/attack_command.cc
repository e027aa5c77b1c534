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
#include "orchestrator/report/robustness_text.h"
#include "training/robust/robustness.h"

namespace sluice {
namespace {

// What the last robust phase trained for.
double EpsOf(const proto::JobConfig& job) {
  double eps = RobustnessQuestion().eps;
  for (const proto::Phase& phase : job.phases()) {
    if (phase.kind() == "tscnc") eps = phase.tscnc().attack().eps();
  }
  return eps;
}

absl::Status Run(const CommandLine& line) {
  SLUICE_ASSIGN_OR_RETURN(const TrainedModel model,
                          FindTrainedModel(line.positional.front(), line.sets));
  RobustnessQuestion question;
  question.eps = absl::GetFlag(FLAGS_eps) >= 0 ? absl::GetFlag(FLAGS_eps) : EpsOf(model.job);
  question.samples = absl::GetFlag(FLAGS_samples);
  question.restarts = absl::GetFlag(FLAGS_restarts);
  SLUICE_ASSIGN_OR_RETURN(const RobustnessReport report,
                          MeasureRobustness(model.job, model.checkpoint, question));
  const std::string text = absl::GetFlag(FLAGS_json)
                               ? RobustnessJson(report, model.checkpoint, question.eps) + "\n"
                               : RobustnessText(report, question.eps);
  std::fputs(text.c_str(), stdout);
  return absl::OkStatus();
}

int Complain(const absl::Status& status, int exit_code) {
  std::fprintf(stderr, "orchestrator attack: %s\n", std::string(status.message()).c_str());
  return exit_code;
}

}  // namespace

int AttackCommand(const CommandLine& line) {
  if (absl::Status status = EnterUserDirectory(); !status.ok()) return Complain(status, kExitUsage);
  absl::Status usage;
  if (line.positional.size() != 1) {
    usage = absl::InvalidArgumentError(
        absl::StrCat("takes one checkpoint or run directory, ", line.positional.size(), " given"));
  } else if (absl::GetFlag(FLAGS_eps) > 1) {
    usage = absl::InvalidArgumentError(absl::StrCat("--eps ", absl::GetFlag(FLAGS_eps),
                                                    ": expected 0 to 1, of the pixels' range"));
  } else if (absl::GetFlag(FLAGS_samples) < 0 || absl::GetFlag(FLAGS_restarts) < 1) {
    usage = absl::InvalidArgumentError("--samples must not be negative, --restarts be at least 1");
  }
  if (!usage.ok()) return Complain(usage, kExitUsage);
  const absl::Status done = Run(line);
  return done.ok() ? kExitOk : Complain(done, ExitCodeForStatus(done));
}

}  // namespace sluice
