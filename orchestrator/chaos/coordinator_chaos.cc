#include "orchestrator/chaos/coordinator_chaos.h"

#include <algorithm>
#include <utility>

namespace sluice {

CoordinatorChaos::CoordinatorChaos(proto::ChaosPlan plan, Chaos::Effects effects)
    : plan_(std::move(plan)), effects_(std::move(effects)) {}

void CoordinatorChaos::OnStarted(const proto::StartGeneration&, const ModelSize&) {
  started_ = std::min(started_, effects_.clock());
}

void CoordinatorChaos::OnSteps(const std::vector<ClusterStep>& steps) {
  for (const proto::ChaosFault& fault : plan_.faults()) {
    if (fault.fault() != "coordinator_kill") continue;
    const bool due = fault.at_step() >= 0
                         ? steps.back().step.value >= fault.at_step()
                         : effects_.clock() - started_ >= absl::Seconds(fault.after_seconds());
    if (due) effects_.kill();
  }
}

}  // namespace sluice
