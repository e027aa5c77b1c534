#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "actors/coordinator_state.h"

namespace sluice {

/// Keeps every event of a job, for tests.
class RecordingObserver : public CoordinatorObserver {
 public:
  void OnStarted(const proto::StartGeneration& start, const ModelSize& size) override {
    started = start;
    model = size;
  }
  void OnRegroup(const std::string& reason, const std::vector<proto::ProcessInfo>&) override {
    regroups.push_back(reason);
  }
  void OnSteps(const std::vector<ClusterStep>& more) override {
    steps.insert(steps.end(), more.begin(), more.end());
  }
  void OnReport(const proto::StepReport& report) override { reports.push_back(report); }
  void OnPolicy(const proto::CompressionPolicy& policy) override { policies.push_back(policy); }
  void OnPhase(const PhaseOutcome& phase, int64_t) override { phases.push_back(phase); }
  void OnEvaluation(const PhaseOutcome& phase) override { evaluations.push_back(phase); }
  void OnWindow(const proto::WindowStatistics& window) override { windows.push_back(window); }
  void OnEnd(const std::variant<JobResult, proto::Failure>& outcome) override {
    ends.push_back(outcome);
  }

  void OnFinding(const Finding& finding) override { findings.push_back(finding); }

  std::optional<proto::StartGeneration> started;
  ModelSize model;
  std::vector<std::string> regroups;
  std::vector<ClusterStep> steps;
  std::vector<proto::StepReport> reports;
  std::vector<proto::CompressionPolicy> policies;
  std::vector<PhaseOutcome> phases;
  std::vector<PhaseOutcome> evaluations;
  std::vector<proto::WindowStatistics> windows;
  std::vector<Finding> findings;
  std::vector<std::variant<JobResult, proto::Failure>> ends;
};

}  // namespace sluice
