#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "absl/time/time.h"
#include "base/ids.h"
#include "proto/control.pb.h"

namespace sluice {

/// What a worker is doing now: its step loop says so, its heartbeat thread reads it.
///
/// Says nothing at first: phase UNSPECIFIED, step -1. A change costs the writer a look at the clock and
/// five stores, and never waits.
class ProgressProbe {
 public:
  /// \param clock  called on either thread
  explicit ProgressProbe(std::function<absl::Time()> clock);

  /// From now on `phase` of `step`. \threadsafety one thread at a time
  void Enter(Step step, proto::WorkPhase phase);
  /// The same of the step that was last named.
  void Enter(proto::WorkPhase phase);

  /// Step, phase and time in it; nothing else. \threadsafety any thread
  proto::Heartbeat Read() const;

 private:
  const std::function<absl::Time()> clock_;
  // Readers try again while `changes_` is odd or moves. Source: the Linux kernel's seqlock.
  std::atomic<uint64_t> changes_{0};
  std::atomic<int64_t> step_{-1};
  std::atomic<int> phase_{proto::WORK_PHASE_UNSPECIFIED};
  std::atomic<int64_t> since_ns_;
};

}  // namespace sluice
