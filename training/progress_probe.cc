#include "training/progress_probe.h"

#include <algorithm>
#include <utility>

namespace sluice {

ProgressProbe::ProgressProbe(std::function<absl::Time()> clock)
    : clock_(std::move(clock)), since_ns_(absl::ToUnixNanos(clock_())) {}

void ProgressProbe::Enter(Step step, proto::WorkPhase phase) {
  const int64_t now = absl::ToUnixNanos(clock_());
  const uint64_t changes = changes_.load(std::memory_order_relaxed);
  changes_.store(changes + 1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  step_.store(step.value, std::memory_order_relaxed);
  phase_.store(phase, std::memory_order_relaxed);
  since_ns_.store(now, std::memory_order_relaxed);
  changes_.store(changes + 2, std::memory_order_release);
}

void ProgressProbe::Enter(proto::WorkPhase phase) {
  Enter(Step(step_.load(std::memory_order_relaxed)), phase);
}

proto::Heartbeat ProgressProbe::Read() const {
  for (;;) {
    const uint64_t before = changes_.load(std::memory_order_acquire);
    proto::Heartbeat heartbeat;
    heartbeat.set_step(step_.load(std::memory_order_relaxed));
    heartbeat.set_phase(static_cast<proto::WorkPhase>(phase_.load(std::memory_order_relaxed)));
    const int64_t since = since_ns_.load(std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (before % 2 != 0 || changes_.load(std::memory_order_relaxed) != before) continue;
    const absl::Duration in_phase = clock_() - absl::FromUnixNanos(since);
    heartbeat.set_seconds_in_phase(absl::ToDoubleSeconds(std::max(absl::ZeroDuration(), in_phase)));
    heartbeat.set_bucket(-1);
    return heartbeat;
  }
}

}  // namespace sluice
