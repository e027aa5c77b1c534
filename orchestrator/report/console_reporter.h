#pragma once

#include <cstdio>
#include <string>

#include "absl/time/time.h"
#include "actors/coordinator_state.h"
#include "proto/job.pb.h"

namespace sluice {

/// What people and machines see of a running job. People: banner, progress line, a line per policy, summary;
/// on standard output, or on standard error when `json` keeps standard output for one JSON object per step
/// and a last one for the summary.
class ConsoleReporter : public CoordinatorObserver {
 public:
  struct Options {
    proto::JobConfig job;
    std::string run_directory;
    bool json = false;
    bool verbose = false;  ///< a table per policy
    /// Terminal: one line redrawn in place, with colour. Otherwise a line per interval.
    bool terminal = false;
    absl::Duration interval = absl::Seconds(10);
  };
  explicit ConsoleReporter(Options options);

  void OnStarted(const proto::StartGeneration& start, const ModelSize& size) override;
  void OnRegroup(const std::string& reason, const std::vector<proto::ProcessInfo>& lost) override;
  void OnPhase(const PhaseOutcome& phase, int64_t total_steps) override;
  void OnEvaluation(const PhaseOutcome& phase) override;
  void OnSteps(const std::vector<ClusterStep>& steps) override;
  void OnReport(const proto::StepReport&) override {}  // for the run's files
  void OnPolicy(const proto::CompressionPolicy& policy) override;
  void OnWindow(const proto::WindowStatistics& window) override;
  void OnCheckpoint(const CheckpointResult& result) override;
  void OnFinding(const Finding& finding) override;
  void OnEnd(const std::variant<JobResult, proto::Failure>& outcome) override;

 private:
  void Line(const std::string& text);
  void Progress(const ClusterStep& step, bool last);

  const Options options_;
  std::FILE* const people_;
  absl::Time regroup_began_ = absl::InfinitePast();
  absl::Time last_shown_ = absl::InfinitePast();
  absl::Time last_mark_;
  int64_t last_mark_step_ = 0;
  double samples_per_second_ = 0;
  bool line_open_ = false;
  double raw_bytes_ = 0;
  int64_t total_steps_ = 0;  // at the latest
  std::string phase_;        // empty: the job is one
  int64_t phase_begin_ = 0;
  Step last_step_{-1};
  proto::CompressionPolicy policy_;
};

}  // namespace sluice
