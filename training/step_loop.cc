#include "training/step_loop.h"

#include "absl/time/clock.h"
#include "base/status_macros.h"

namespace sluice {
namespace {

class ReducerSink : public GradientSink {
 public:
  explicit ReducerSink(Reducer& reducer) : reducer_(reducer) {}
  absl::Span<float> gradient(int index) override { return reducer_.gradient(index); }
  void Ready(int index) override { reducer_.Ready(index); }

 private:
  Reducer& reducer_;
};

}  // namespace

absl::Status RunSteps(Trainer& trainer, Reducer& reducer, Step first, int64_t checksum_every,
                      const std::function<bool(Step)>& before_step,
                      const std::function<void(const StepOutcome&)>& on_step) {
  ReducerSink sink(reducer);
  trainer.Attach(sink);
  const int64_t steps = trainer.total_steps();
  for (Step step = first; before_step(step) && step.value < steps; step = step + 1) {
    const absl::Time begin = absl::Now();
    StepOutcome outcome;
    outcome.step = step;
    reducer.BeginStep(step);
    SLUICE_ASSIGN_OR_RETURN(outcome.loss, trainer.ForwardBackward(step));
    SLUICE_ASSIGN_OR_RETURN(outcome.reduction, reducer.Finish());
    SLUICE_RETURN_IF_ERROR(trainer.ApplyGradients(step));
    outcome.duration = absl::Now() - begin;
    const bool due = checksum_every > 0 && (step.value + 1) % checksum_every == 0;
    if (due || step.value + 1 == steps) {
      outcome.has_checksum = true;
      outcome.checksum = trainer.ParameterChecksum();
    }
    on_step(outcome);
  }
  return absl::OkStatus();
}

}  // namespace sluice
