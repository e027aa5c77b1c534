#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/ids.h"
#include "comm/reducer/reducer.h"
#include "training/trainer.h"

namespace sluice {

/// One step as this rank saw it.
struct StepOutcome {
  Step step;
  double loss = 0;  ///< this rank's share: the sum over ranks is the global batch's mean
  absl::Duration duration;
  ReductionStats reduction;
  bool has_checksum = false;
  uint64_t checksum = 0;  ///< of the parameters after the step
};

/// Runs steps of `trainer` from `first` on, gradients reduced by `reducer` while backward runs. The trainer's
/// parameters must be the reducer's tensors, in order.
/// \param checksum_every  steps between parameter checksums; the last step always has one
/// \param before_step     before every step, and once more after the last one, on the calling thread; may hold
///                        it back. False: the loop ends before that step
/// \param on_step         after every step, on the calling thread
/// \return the first error, with the step in its message
/// \threadsafety the calling thread is the step loop
absl::Status RunSteps(Trainer& trainer, Reducer& reducer, Step first, int64_t checksum_every,
                      const std::function<bool(Step)>& before_step,
                      const std::function<void(const StepOutcome&)>& on_step);

}  // namespace sluice
