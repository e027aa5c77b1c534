#include "orchestrator/report/run_recorder.h"

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "orchestrator/report/job_json.h"

namespace sluice {

RunRecorder::RunRecorder(std::string directory, proto::JobConfig job)
    : directory_(std::move(directory)), job_(std::move(job)) {}

absl::StatusOr<std::unique_ptr<RunRecorder>> RunRecorder::Create(const std::string& directory,
                                                                 const proto::JobConfig& job,
                                                                 bool append) {
  std::unique_ptr<RunRecorder> recorder(new RunRecorder(directory, job));
  SLUICE_ASSIGN_OR_RETURN(recorder->metrics_, recorder->Open("metrics.jsonl", append));
  SLUICE_ASSIGN_OR_RETURN(recorder->timings_, recorder->Open("timings.jsonl", append));
  SLUICE_ASSIGN_OR_RETURN(recorder->policies_, recorder->Open("policies.jsonl", append));
  SLUICE_ASSIGN_OR_RETURN(recorder->stats_, recorder->Open("stats.jsonl", append));
  SLUICE_ASSIGN_OR_RETURN(recorder->events_, recorder->Open("events.jsonl", append));
  return recorder;
}

absl::StatusOr<RunRecorder::File> RunRecorder::Open(const std::string& name, bool append) const {
  const std::string path = absl::StrCat(directory_, "/", name);
  File file(std::fopen(path.c_str(), append ? "ae" : "we"));
  if (file == nullptr) {
    return absl::PermissionDeniedError(
        absl::StrCat("cannot write ", path, ": ", std::strerror(errno)));
  }
  return file;
}

void RunRecorder::Write(const File& file, const std::string& line) {
  const std::string text = line + "\n";
  const bool whole = std::fwrite(text.data(), 1, text.size(), file.get()) == text.size();
  if (whole && std::fflush(file.get()) == 0) return;
  if (complained_) return;
  complained_ = true;
  SLUICE_LOG(Error, "cannot write to ", directory_, ": ", std::strerror(errno),
             ". Training goes on; the run's files are incomplete");
}

void RunRecorder::OnStarted(const proto::StartGeneration& start, const ModelSize& size) {
  raw_bytes_ = size.raw_bytes;
  Write(events_, GenerationJson(start));
}

void RunRecorder::OnRegroup(const std::string& reason,
                            const std::vector<proto::ProcessInfo>& lost) {
  Write(events_, RegroupJson(reason, lost));
}

void RunRecorder::OnPhase(const PhaseOutcome& phase, int64_t total_steps) {
  if (phase.first_step != phase_begin_) Write(events_, PhaseJson(phase));
  phase_begin_ = phase.first_step;
}

void RunRecorder::OnEvaluation(const PhaseOutcome& phase) { Write(events_, EvaluationJson(phase)); }

void RunRecorder::OnSteps(const std::vector<ClusterStep>& steps) {
  for (const ClusterStep& step : steps) Write(metrics_, StepJson(step, job_, raw_bytes_));
}

void RunRecorder::OnReport(const proto::StepReport& report) {
  Write(timings_, TimingsJson(report));
}

void RunRecorder::OnPolicy(const proto::CompressionPolicy& policy) {
  Write(policies_, PolicyJson(policy));
  Write(events_, PlanEventJson(policy));
}

void RunRecorder::OnWindow(const proto::WindowStatistics& window) {
  Write(stats_, WindowJson(window));
}

void RunRecorder::OnFinding(const Finding& finding) { Write(events_, FindingJson(finding)); }

void RunRecorder::OnCheckpoint(const CheckpointResult& result) {
  Write(events_, CheckpointJson(result));
}

void RunRecorder::OnEnd(const std::variant<JobResult, proto::Failure>& outcome) {
  auto file = Open("summary.json", false);
  if (!file.ok()) {
    SLUICE_LOG(Error, file.status().message());
    return;
  }
  Write(*file, SummaryJson(outcome, job_));
}

}  // namespace sluice
