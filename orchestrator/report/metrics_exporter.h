#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "actors/coordinator_state.h"
#include "proto/job.pb.h"

namespace sluice {

/// Serves a job's metrics for Prometheus at http://127.0.0.1:PORT/metrics (docs/metrics.md), on a thread of
/// its own. The series of ranks are those of the present generation.
class MetricsExporter : public CoordinatorObserver {
 public:
  /// \param port  0 = any free one
  /// \error kUnavailable  the port cannot be had
  static absl::StatusOr<std::unique_ptr<MetricsExporter>> Create(const proto::JobConfig& job,
                                                                 uint16_t port);
  ~MetricsExporter() override;

  uint16_t port() const;

  void OnStarted(const proto::StartGeneration& start, const ModelSize& size) override;
  void OnPhase(const PhaseOutcome& phase, int64_t total_steps) override;
  void OnEvaluation(const PhaseOutcome& phase) override;
  void OnSteps(const std::vector<ClusterStep>& steps) override;
  void OnReport(const proto::StepReport& report) override;
  void OnPolicy(const proto::CompressionPolicy& policy) override;
  void OnWindow(const proto::WindowStatistics& window) override;
  void OnHeartbeat(const proto::Heartbeat& heartbeat) override;
  void OnLags(const std::vector<RankLag>& lags) override;
  void OnFinding(const Finding& finding) override;
  void OnEnd(const std::variant<JobResult, proto::Failure>&) override {}

 private:
  class Series;
  class Server;

  explicit MetricsExporter(std::unique_ptr<Series> series);

  std::unique_ptr<Series> series_;
  std::unique_ptr<Server> server_;  // last: its thread reads the series
};

}  // namespace sluice
