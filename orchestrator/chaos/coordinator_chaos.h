#pragma once

#include "actors/coordinator_state.h"
#include "orchestrator/chaos/chaos.h"
#include "proto/chaos.pb.h"

namespace sluice {

/// Executes the faults of a plan that strike the coordinator, when it hears of the step.
class CoordinatorChaos : public CoordinatorObserver {
 public:
  CoordinatorChaos(proto::ChaosPlan plan, Chaos::Effects effects);

  void OnStarted(const proto::StartGeneration&, const ModelSize&) override;
  void OnSteps(const std::vector<ClusterStep>& steps) override;
  void OnReport(const proto::StepReport&) override {}
  void OnPolicy(const proto::CompressionPolicy&) override {}
  void OnWindow(const proto::WindowStatistics&) override {}
  void OnEnd(const std::variant<JobResult, proto::Failure>&) override {}

 private:
  const proto::ChaosPlan plan_;
  const Chaos::Effects effects_;
  absl::Time started_ = absl::InfiniteFuture();
};

}  // namespace sluice
