#pragma once

#include <chrono>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sluice {

using PollClock = std::chrono::steady_clock;

/// How often work on a device is looked at. CUDA offers no wait that both ends with the work and can
/// be interrupted.
inline constexpr std::chrono::microseconds kPollInterval{50};

/// Until when to wait, and who may end the wait.
struct Patience {
  PollClock::time_point deadline;
  /// Not OK: stop waiting, this is why. Asked on the waiting thread.
  absl::FunctionRef<absl::Status()> interruption;
};

/// Asks `done` every kPollInterval until it answers true.
/// \error of `done` or of the interruption
/// \error kDeadlineExceeded  the deadline has passed
absl::Status PollUntil(absl::FunctionRef<absl::StatusOr<bool>()> done, const Patience& patience);

/// Nothing interrupts.
absl::Status NoInterruption();

}  // namespace sluice
