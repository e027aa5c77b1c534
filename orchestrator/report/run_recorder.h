#pragma once

#include <cstdio>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "actors/coordinator_state.h"
#include "proto/job.pb.h"

namespace sluice {

/// Writes a run's files as it goes (docs/formats.md): metrics.jsonl, timings.jsonl, policies.jsonl,
/// stats.jsonl, events.jsonl, and at the end summary.json. Every line but the last is whole at any moment; a full disk is said once on standard error and does not
/// stop the job.
class RunRecorder : public CoordinatorObserver {
 public:
  /// \param append  to the files of a coordinator that died
  /// \error kPermissionDenied  a file cannot be made: its path and the system's reason
  static absl::StatusOr<std::unique_ptr<RunRecorder>> Create(const std::string& directory,
                                                             const proto::JobConfig& job,
                                                             bool append = false);

  void OnStarted(const proto::StartGeneration& start, const ModelSize& size) override;
  void OnRegroup(const std::string& reason, const std::vector<proto::ProcessInfo>& lost) override;
  void OnPhase(const PhaseOutcome& phase, int64_t total_steps) override;
  void OnEvaluation(const PhaseOutcome& phase) override;
  void OnSteps(const std::vector<ClusterStep>& steps) override;
  void OnReport(const proto::StepReport& report) override;
  void OnPolicy(const proto::CompressionPolicy& policy) override;
  void OnWindow(const proto::WindowStatistics& window) override;
  void OnFinding(const Finding& finding) override;
  void OnCheckpoint(const CheckpointResult& result) override;
  void OnEnd(const std::variant<JobResult, proto::Failure>& outcome) override;

 private:
  struct Closer {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  using File = std::unique_ptr<std::FILE, Closer>;

  RunRecorder(std::string directory, proto::JobConfig job);
  absl::StatusOr<File> Open(const std::string& name, bool append) const;
  void Write(const File& file, const std::string& line);

  const std::string directory_;
  const proto::JobConfig job_;
  int64_t phase_begin_ = -1;  // of the phase that goes on
  double raw_bytes_ = 0;
  File metrics_;
  File timings_;
  File policies_;
  File stats_;
  File events_;
  bool complained_ = false;
};

}  // namespace sluice
