#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "base/exit_codes.h"
#include "base/status_macros.h"
#include "orchestrator/commands/commands.h"
#include "orchestrator/commands/flags.h"
#include "orchestrator/commands/process_setup.h"
#include "orchestrator/config/job_loader.h"
#include "orchestrator/config/nearest_word.h"
#include "orchestrator/report/plan_text.h"
#include "policies/compression/compression_policy.h"
#include "policies/offline/plan_report.h"
#include "policies/offline/scenario.h"
#include "policies/records/records.h"

namespace sluice {
namespace {

/// The command line, read.
struct Question {
  std::string stats;
  std::optional<int64_t> window;  // nullopt: the last
  std::optional<std::string> policy;
  std::optional<Network> network;
  std::optional<double> backward_seconds;
  std::optional<int> world_size;
};

absl::StatusOr<Question> ReadQuestion(const CommandLine& line) {
  Question question;
  question.stats = absl::GetFlag(FLAGS_stats);
  if (question.stats.empty() || !line.positional.empty()) {
    return absl::InvalidArgumentError(
        "takes the statistics of a run and no other words. Example: orchestrator plan --stats "
        "runs/x/stats.jsonl");
  }
  if (const std::string window = absl::GetFlag(FLAGS_window); window != "last") {
    int64_t number = 0;
    if (!absl::SimpleAtoi(window, &number) || number < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("--window ", Quoted(window), ": expected a number from 0, or last"));
    }
    question.window = number;
  }
  if (const std::string policy = absl::GetFlag(FLAGS_policy); !policy.empty()) {
    const std::vector<std::string> known = CompressionPolicyNames();
    if (std::find(known.begin(), known.end(), policy) == known.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--policy ", Quoted(policy), ": expected one of ",
                       absl::StrJoin(known, ", "), DidYouMean(policy, known)));
    }
    question.policy = policy;
  }
  if (const std::string network = absl::GetFlag(FLAGS_network); !network.empty()) {
    auto parsed = ParseNetwork(network);
    if (!parsed.ok()) return Annotate(parsed.status(), "--network");
    question.network = *parsed;
  }
  if (const std::string backward = absl::GetFlag(FLAGS_backward); !backward.empty()) {
    absl::Duration duration;
    if (!absl::ParseDuration(backward, &duration) || duration <= absl::ZeroDuration() ||
        duration == absl::InfiniteDuration()) {
      return absl::InvalidArgumentError(absl::StrCat("--backward ", Quoted(backward),
                                                     ": expected a duration above 0, as in 40ms"));
    }
    question.backward_seconds = absl::ToDoubleSeconds(duration);
  }
  if (const int world = absl::GetFlag(FLAGS_world); world != 0) {
    if (world < 2) {
      return absl::InvalidArgumentError(
          absl::StrCat("--world ", world, ": expected 2 or more: one rank sends nothing"));
    }
    question.world_size = world;
  }
  return question;
}

// The job whose policy is asked: --job, else the one that lies beside the statistics, else all
// defaults.
absl::StatusOr<proto::JobConfig> JobOf(const Question& question,
                                       const std::vector<std::string>& sets) {
  std::string path = absl::GetFlag(FLAGS_job);
  if (path.empty()) {
    const std::filesystem::path beside =
        std::filesystem::path(question.stats).parent_path() / "job.yaml";
    std::error_code ignored;
    if (std::filesystem::exists(beside, ignored)) path = beside.string();
  }
  SLUICE_ASSIGN_OR_RETURN(
      proto::JobConfig job,
      path.empty() ? ParseJob("", JobFormat::kYaml, "defaults", sets) : LoadJob(path, sets));
  if (question.policy) job.mutable_compression()->set_policy(*question.policy);
  return job;
}

absl::Status Apply(const Question& question, const proto::JobConfig& job,
                   proto::WindowStatistics& window) {
  if (window.world_size() == 0) window.set_world_size(job.world().size());  // of an older version
  SLUICE_RETURN_IF_ERROR(SetAlpha(job.compression(), &window));
  if (question.world_size) SLUICE_RETURN_IF_ERROR(SetWorldSize(*question.world_size, &window));
  return SetTimes(question.network, question.backward_seconds, &window);
}

// Prints the answer. \error  what is wrong with the job or the statistics
absl::Status Answer(const Question& question, const proto::JobConfig& job,
                    std::vector<proto::WindowStatistics> windows) {
  const proto::Compression& config = job.compression();
  SLUICE_ASSIGN_OR_RETURN(auto maker, CreateCompressionPolicy(config));
  // All windows up to the one asked for: some policies compare a window with those before it.
  proto::CompressionPolicy plan;
  for (proto::WindowStatistics& window : windows) {
    SLUICE_RETURN_IF_ERROR(Apply(question, job, window));
    auto made = maker->Plan(window);
    // A policy that has no plan for an earlier window left the one before it in force.
    const bool skipped = absl::IsUnavailable(made.status()) && &window != &windows.back();
    if (!made.ok() && !skipped) return made.status();
    if (made.ok()) plan = *std::move(made);
  }
  const proto::WindowStatistics& window = windows.back();
  SLUICE_ASSIGN_OR_RETURN(const PlanReport report, ReportPlan(config, window, plan));
  plan.set_version(1);
  plan.set_effective_step(0);
  if (report.time) {
    plan.set_exposed_seconds(report.time->exposed_seconds);
    plan.set_raw_exposed_seconds(report.raw_time->exposed_seconds);
  }
  const bool explain = absl::GetFlag(FLAGS_explain);
  const std::string text = absl::GetFlag(FLAGS_json)
                               ? PlanJson(config, window, plan, report, explain) + "\n"
                               : PlanText(config, window, plan, report, explain);
  std::fputs(text.c_str(), stdout);
  return absl::OkStatus();
}

int Complain(const absl::Status& status, int exit_code) {
  std::fprintf(stderr, "orchestrator plan: %s\n", std::string(status.message()).c_str());
  return exit_code;
}

}  // namespace

int PlanCommand(const CommandLine& line) {
  if (absl::Status status = EnterUserDirectory(); !status.ok()) return Complain(status, kExitUsage);
  const auto question = ReadQuestion(line);
  if (!question.ok()) return Complain(question.status(), kExitUsage);
  auto read = ReadStatistics(question->stats);
  if (!read.ok()) {
    return Complain(read.status(), absl::IsNotFound(read.status()) ? kExitStorage : kExitConfig);
  }
  if (!read->warning.empty()) {
    std::fprintf(stderr, "orchestrator plan: %s\n", read->warning.c_str());
  }
  std::vector<proto::WindowStatistics> windows = std::move(read->records);
  if (windows.empty()) {
    return Complain(absl::InvalidArgumentError(absl::StrCat(
                        question->stats, " has no windows: was its run long enough for one?")),
                    kExitConfig);
  }
  if (question->window) {
    const auto asked =
        std::find_if(windows.begin(), windows.end(), [&](const proto::WindowStatistics& window) {
          return window.window() == *question->window;
        });
    if (asked == windows.end()) {
      return Complain(absl::InvalidArgumentError(absl::StrCat(
                          "--window ", *question->window, ": ", question->stats, " has windows ",
                          windows.front().window(), " to ", windows.back().window())),
                      kExitUsage);
    }
    windows.erase(asked + 1, windows.end());
  }
  const auto job = JobOf(*question, line.sets);
  if (!job.ok()) return Complain(job.status(), kExitConfig);
  const absl::Status answered = Answer(*question, *job, std::move(windows));
  return answered.ok() ? kExitOk : Complain(answered, kExitConfig);
}

}  // namespace sluice
