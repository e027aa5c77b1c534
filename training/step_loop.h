#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/ids.h"
#include "comm/reducer/reducer.h"
#include "training/progress_probe.h"
#include "training/trainer.h"

namespace sluice {

/// One step as this rank saw it.
struct StepOutcome {
  Step step;
  double loss = 0;  ///< this rank's share: the sum over ranks is the global batch's mean
  absl::Duration duration;
  ReductionStats reduction;
  bool skipped = false;  ///< not applied, on any rank: something was not finite
  bool has_checksum = false;
  uint64_t checksum = 0;  ///< of the parameters after the step
};

/// What watches the loop, and what disturbs it. By default nothing does.
struct StepGuards {
  ProgressProbe* probe = nullptr;  ///< is told the phases of every step; may be null
  /// Passes over a step in which a loss or gradient of any rank is not finite, on all ranks: parameters,
  /// optimiser and buffers are then as if it had not been. Needs Reducer::Options::skip_not_finite.
  bool skip_not_finite = false;
  int max_skipped_steps = 10;  ///< in a row; one more is an error
  /// May change a gradient before it is reduced, for tests of all this; may be null.
  std::function<void(Step, int tensor, absl::Span<float> gradient)> on_gradient;
};

/// Runs steps of `trainer` from `first` on, gradients reduced by `reducer` while backward runs. The trainer's
/// parameters must be the reducer's tensors, in order.
/// \param total_steps     of the job as far as it is known; asked anew after every step
/// \param checksum_every  steps between parameter checksums; the last step always has one
/// \param before_step     before every step, and once more after the last one, on the calling thread; may hold
///                        it back. False: the loop ends before that step
/// \param on_step         after every step, on the calling thread
/// \return the first error, with the step in its message
/// \error kOutOfRange  the loss or a gradient of this rank was not finite, or the mean alone was
/// \error kCancelled   that of another rank was: it has the better message
/// \threadsafety the calling thread is the step loop
absl::Status RunSteps(Trainer& trainer, Reducer& reducer, Step first,
                      const std::function<int64_t()>& total_steps, int64_t checksum_every,
                      const std::function<bool(Step)>& before_step,
                      const std::function<void(const StepOutcome&)>& on_step,
                      const StepGuards& guards = {});

}  // namespace sluice
