#include "orchestrator/report/console_reporter.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "orchestrator/config/samples_per_step.h"
#include "orchestrator/report/job_json.h"
#include "orchestrator/report/units.h"
#include "policies/compression/codec_name.h"

namespace sluice {
namespace {

std::string Count(int n, const char* what) { return absl::StrCat(n, " ", what, n == 1 ? "" : "s"); }

// What the test set says, empty when nothing was evaluated: a program evaluates by itself.
std::string EvaluationText(const proto::Evaluation& sum) {
  if (sum.predictions() == 0) return "";
  std::string text = absl::StrFormat(", test accuracy %.2f %%", 100 * Accuracy(sum));
  if (HasTop5(sum)) absl::StrAppendFormat(&text, ", top 5 %.2f %%", 100 * Top5Accuracy(sum));
  if (HasPerplexity(sum)) absl::StrAppendFormat(&text, ", perplexity %.2f", Perplexity(sum));
  absl::StrAppendFormat(&text, " (%d %s)", sum.predictions(),
                        sum.per_position() ? "positions" : "samples");
  return text;
}

// Who came last to the collectives, and what was lost: whole lines, or none when there is nothing to say.
std::string SlowestText(const JobResult& result) {
  std::string text;
  const auto slowest = std::max_element(
      result.lags.begin(), result.lags.end(),
      [](const RankLag& a, const RankLag& b) { return a.lag_seconds < b.lag_seconds; });
  if (slowest != result.lags.end() && slowest->steps > 0 && slowest->lag_seconds > 0) {
    const auto steps = static_cast<double>(slowest->steps);
    absl::StrAppendFormat(
        &text,
        "  slowest: rank %d (host %s), %.1f ms per step behind, last in %.0f %% of the steps\n",
        slowest->rank, slowest->process.host(), 1e3 * slowest->lag_seconds / steps,
        100 * static_cast<double>(slowest->last_in_steps) / steps);
  }
  if (result.stalls > 0) {
    absl::StrAppendFormat(&text, "  stalls: %d, %.0f s in all\n", result.stalls,
                          absl::ToDoubleSeconds(result.stalled));
  }
  if (result.totals.skipped_steps > 0) {
    absl::StrAppendFormat(&text, "  skipped: %d steps with values that were not finite\n",
                          result.totals.skipped_steps);
  }
  return text;
}

std::string PolicyTable(const proto::CompressionPolicy& policy,
                        const proto::CompressionPolicy& before) {
  std::string table = absl::StrFormat("  %-32s %-16s %s\n", "layer", "codec", "before");
  for (int i = 0; i < policy.layers_size(); ++i) {
    const std::string now = CodecName(policy.layers(i).codec());
    const std::string was =
        i < before.layers_size() ? CodecName(before.layers(i).codec()) : std::string("raw");
    absl::StrAppendFormat(&table, "  %-32s %-16s %s\n", policy.layers(i).name(), now,
                          now == was ? "" : was);
  }
  return table;
}

}  // namespace

ConsoleReporter::ConsoleReporter(Options options)
    : options_(std::move(options)), people_(options_.json ? stderr : stdout) {}

void ConsoleReporter::Line(const std::string& text) {
  if (line_open_) std::fputs("\r\033[K", people_);
  line_open_ = false;
  std::fputs(text.c_str(), people_);
  std::fputc('\n', people_);
  std::fflush(people_);
}

void ConsoleReporter::OnStarted(const proto::StartGeneration& start, const ModelSize& size) {
  std::string hosts;
  for (const proto::ProcessInfo& process : start.processes()) {
    if (!absl::StrContains(hosts, process.host())) {
      absl::StrAppend(&hosts, hosts.empty() ? "" : ", ", process.host());
    }
  }
  raw_bytes_ = size.raw_bytes;
  total_steps_ = start.total_steps();
  const int64_t generation = start.envelope().generation();
  if (generation > 1) {
    if (options_.json) std::fputs((GenerationJson(start) + "\n").c_str(), stdout);
    const std::string after =
        regroup_began_ == absl::InfinitePast()
            ? "under a new coordinator"
            : absl::StrCat(absl::FormatDuration(
                               absl::Trunc(absl::Now() - regroup_began_, absl::Milliseconds(1))),
                           " after the last one ended");
    Line(absl::StrFormat("generation %d: %s on %s from step %d, %s", generation,
                         Count(start.world_size(), "worker"), hosts, start.start_step(), after));
    return;
  }
  last_mark_step_ = start.start_step();
  Line(
      absl::StrCat("job ", start.envelope().job_id(), " \"", options_.job.name(),
                   "\": ", Count(start.world_size(), "worker"), " and ",
                   Count(start.processes_size() - start.world_size(), "profiler"), " on ", hosts,
                   options_.job.program().command().empty()
                       ? absl::StrCat(", model ", options_.job.model().name())
                       : absl::StrCat(", program ", options_.job.program().command(0)),
                   " (", size.parameters, " parameters), policy ",
                   options_.job.compression().policy(), ", files in ", options_.run_directory,
                   start.start_step() > 0 ? absl::StrCat(", from step ", start.start_step()) : ""));
  last_mark_ = absl::Now();
}

void ConsoleReporter::OnRegroup(const std::string& reason,
                                const std::vector<proto::ProcessInfo>& lost) {
  regroup_began_ = absl::Now();
  if (options_.json) std::fputs((RegroupJson(reason, lost) + "\n").c_str(), stdout);
  Line(absl::StrCat("the generation ends: ", reason));
}

void ConsoleReporter::OnPhase(const PhaseOutcome& phase, int64_t total_steps) {
  total_steps_ = total_steps;
  if (options_.job.phases_size() == 0) return;
  const bool begins = phase.name != phase_ || phase.first_step != phase_begin_;
  phase_ = phase.name;
  phase_begin_ = phase.first_step;
  if (begins) {
    if (options_.json) std::fputs((PhaseJson(phase) + "\n").c_str(), stdout);
    Line(absl::StrFormat("phase %s from step %d, to step %d at the latest", phase.name,
                         phase.first_step, phase.end_step));
  }
}

void ConsoleReporter::OnEvaluation(const PhaseOutcome& phase) {
  if (options_.json) std::fputs((EvaluationJson(phase) + "\n").c_str(), stdout);
  Line(absl::StrFormat("phase %s after step %d: test accuracy %.2f %%, test loss %.4f", phase.name,
                       phase.end_step, 100 * Accuracy(phase.evaluation),
                       MeanLoss(phase.evaluation)));
}

void ConsoleReporter::OnSteps(const std::vector<ClusterStep>& steps) {
  for (const ClusterStep& step : steps) {
    if (options_.json) {
      std::fputs((StepJson(step, options_.job, raw_bytes_) + "\n").c_str(), stdout);
    }
  }
  if (options_.json) std::fflush(stdout);
  last_step_ = steps.back().step;
  const absl::Time now = absl::Now();
  const ClusterStep& newest = steps.back();
  const absl::Duration since = now - last_mark_;
  if (since > absl::Seconds(1)) {
    samples_per_second_ = static_cast<double>(newest.step.value + 1 - last_mark_step_) *
                          static_cast<double>(SamplesPerStep(options_.job)) /
                          absl::ToDoubleSeconds(since);
    last_mark_ = now;
    last_mark_step_ = newest.step.value + 1;
  }
  const bool last = newest.step.value + 1 == total_steps_;
  const absl::Duration pause = options_.terminal ? absl::Milliseconds(200) : options_.interval;
  if (last || now - last_shown_ >= pause) {
    last_shown_ = now;
    Progress(newest, last);
  }
}

void ConsoleReporter::Progress(const ClusterStep& step, bool last) {
  const std::string text = absl::StrFormat(
      "%sstep %d%s  loss %.4f  %.0f samples/s  %s/step (x%.1f)  exposed %.1f ms  policy v%d",
      phase_.empty() ? "" : absl::StrCat(phase_, "  "), step.step.value + 1,
      total_steps_ > 0 ? absl::StrCat("/", total_steps_) : "", step.loss, samples_per_second_,
      BytesText(step.sent_bytes), step.sent_bytes > 0 ? raw_bytes_ / step.sent_bytes : 1.0,
      1e3 * step.exposed_seconds, step.policy_version);
  if (!options_.terminal || last) {
    Line(text);
    return;
  }
  std::fputs(absl::StrCat("\r\033[K\033[36m", text, "\033[0m").c_str(), people_);
  std::fflush(people_);
  line_open_ = true;
}

void ConsoleReporter::OnPolicy(const proto::CompressionPolicy& policy) {
  Line(absl::StrFormat(
      "policy v%d from step %d: %s/step predicted (uniform %s)%s, solved in %.2f ms. %s",
      policy.version(), policy.effective_step(), BytesText(policy.predicted_bytes()),
      BytesText(policy.uniform_bytes()),
      policy.alpha() > 0 ? absl::StrFormat(", alpha %.3g", policy.alpha()) : "",
      1e3 * policy.solve_seconds(), policy.reason()));
  if (options_.verbose) {
    std::fputs(PolicyTable(policy, policy_).c_str(), people_);
    std::fflush(people_);
  }
  policy_ = policy;
}

void ConsoleReporter::OnWindow(const proto::WindowStatistics& window) {
  if (options_.verbose) {
    Line(absl::StrFormat("window %d (to step %d) profiled in %.0f ms", window.window(),
                         window.last_step(), 1e3 * window.profile_seconds()));
  }
}

void ConsoleReporter::OnCheckpoint(const CheckpointResult& result) {
  if (options_.json) {
    std::fputs((CheckpointJson(result) + "\n").c_str(), stdout);
    std::fflush(stdout);
  }
  if (result.path.empty()) {
    Line(absl::StrCat("warning: no checkpoint of ", result.step.value, " steps: ", result.error));
  } else {
    Line(absl::StrFormat("checkpoint of %d steps: %s, %.1f s after the step, in %s",
                         result.step.value, BytesText(static_cast<double>(result.bytes)),
                         result.seconds, result.path));
  }
}

void ConsoleReporter::OnFinding(const Finding& finding) {
  Line(finding.text);
  if (!options_.json) return;
  std::fputs((FindingJson(finding) + "\n").c_str(), stdout);
  std::fflush(stdout);
}

void ConsoleReporter::OnEnd(const std::variant<JobResult, proto::Failure>& outcome) {
  if (const auto* failure = std::get_if<proto::Failure>(&outcome)) {
    const std::string step =
        failure->step() >= 0 ? absl::StrCat(" after step ", failure->step()) : "";
    if (line_open_) Line("");
    // Standard error, whatever `json` says: it is an error.
    std::fprintf(stderr, "job failed%s: %s\n  files: %s\n", step.c_str(), failure->cause().c_str(),
                 options_.run_directory.c_str());
    std::fflush(stderr);
  } else {
    const JobResult& result = std::get<JobResult>(outcome);
    const LedgerTotals& totals = result.totals;
    const double sent = totals.PerStep(totals.sent_bytes);
    if (!result.stopped_by.empty()) {
      Line(absl::StrCat(result.stopped_by, " after step ", last_step_.value,
                        result.checkpoint_path.empty()
                            ? ""
                            : absl::StrCat("; go on with --resume ", result.checkpoint_path)));
    }
    Line(absl::StrFormat(
        "done: %d steps in %.1f s%s, train loss %.4f\n"
        "  step %.1f ms, of it %.1f ms exposed communication; %.0f samples/s\n"
        "  %s sent per rank and step, raw would be %s (x%.2f); predicted %s; %d policy changes\n"
        "  replicas: %d checksums compared over %d ranks%s\n"
        "%s"
        "  checkpoint: %s\n"
        "  files: %s",
        totals.steps, absl::ToDoubleSeconds(result.wall), EvaluationText(result.evaluation),
        totals.last_loss, 1e3 * totals.PerStep(totals.step_seconds),
        1e3 * totals.PerStep(totals.exposed_seconds),
        totals.SamplesPerSecond(SamplesPerStep(options_.job)), BytesText(sent),
        BytesText(result.raw_bytes_per_step), sent > 0 ? result.raw_bytes_per_step / sent : 1.0,
        BytesText(totals.PerStep(totals.predicted_bytes)), result.policy_changes,
        totals.checksums_compared, options_.job.world().size(),
        totals.checksums_compared > 0 ? ", all equal" : "", SlowestText(result),
        result.checkpoint_path.empty() ? "none" : result.checkpoint_path, options_.run_directory));
    if (result.generations > 1) {
      Line(absl::StrFormat("  %d generations; %.1f s between them, in all", result.generations,
                           absl::ToDoubleSeconds(result.regrouping)));
    }
  }
  if (options_.json) {
    std::fputs((SummaryJson(outcome, options_.job) + "\n").c_str(), stdout);
    std::fflush(stdout);
  }
}

}  // namespace sluice
