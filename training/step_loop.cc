#include "training/step_loop.h"

#include <algorithm>
#include <limits>
#include <map>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "training/not_finite_steps.h"

namespace sluice {
namespace {

class ReducerSink : public GradientSink {
 public:
  ReducerSink(Reducer& reducer, const StepGuards& guards) : reducer_(reducer), guards_(guards) {}
  void BeginStep(Step step) { step_ = step; }
  Step step() const { return step_; }
  absl::Span<float> gradient(int index) override { return reducer_.gradient(index); }
  void Ready(int index) override {
    if (guards_.on_gradient) guards_.on_gradient(step_, index, reducer_.gradient(index));
    reducer_.Ready(index);
  }
  absl::Status Forget(absl::Span<const ElementRun> runs) override {
    std::map<int, std::vector<ElementRange>> by_tensor;
    for (const ElementRun& run : runs) {
      by_tensor[run.parameter].push_back({run.begin, run.begin + run.size});
    }
    for (const auto& [tensor, ranges] : by_tensor) {
      SLUICE_RETURN_IF_ERROR(reducer_.ForgetResidual(tensor, ranges));
    }
    return absl::OkStatus();
  }

 private:
  Reducer& reducer_;
  const StepGuards& guards_;
  Step step_;
};

// The model's buffers: forward has changed them by the time a step turns out to be of no use.
class SavedBuffers {
 public:
  explicit SavedBuffers(std::vector<absl::Span<float>> buffers) : buffers_(std::move(buffers)) {
    for (absl::Span<float> buffer : buffers_) saved_.emplace_back(buffer.begin(), buffer.end());
  }
  void Save() {
    for (size_t b = 0; b < buffers_.size(); ++b) {
      std::copy(buffers_[b].begin(), buffers_[b].end(), saved_[b].begin());
    }
  }
  void Restore() {
    for (size_t b = 0; b < buffers_.size(); ++b) {
      std::copy(saved_[b].begin(), saved_[b].end(), buffers_[b].begin());
    }
  }

 private:
  std::vector<absl::Span<float>> buffers_;
  std::vector<std::vector<float>> saved_;
};

class Loop {
 public:
  Loop(Trainer& trainer, Reducer& reducer, const StepGuards& guards)
      : trainer_(trainer),
        reducer_(reducer),
        guards_(guards),
        sink_(reducer, guards),
        buffers_(guards.skip_not_finite ? trainer.FloatBuffers()
                                        : std::vector<absl::Span<float>>()),
        not_finite_(guards.skip_not_finite, guards.max_skipped_steps) {
    trainer.Attach(sink_);
    trainer.ShareStatistics([this](absl::Span<float> values) { return SumOverRanks(values); });
  }

  absl::StatusOr<StepOutcome> Run(Step step) {
    const absl::Time begin = absl::Now();
    StepOutcome outcome;
    outcome.step = step;
    buffers_.Save();
    sink_.BeginStep(step);
    reducer_.BeginStep(step);
    Enter(step, proto::WORK_PHASE_DATA);
    SLUICE_RETURN_IF_ERROR(trainer_.LoadBatch(step));
    Enter(step, proto::WORK_PHASE_COMPUTE);
    const absl::StatusOr<double> loss = trainer_.ForwardBackward(step);
    if (loss.ok()) {
      outcome.loss = *loss;
    } else if (absl::IsOutOfRange(loss.status())) {
      // The others wait for this rank: it takes part, and they learn why it has nothing to give.
      outcome.loss = std::numeric_limits<double>::quiet_NaN();
      reducer_.LossNotFinite();
    } else {
      return loss.status();
    }
    Enter(step, proto::WORK_PHASE_REDUCE);
    SLUICE_ASSIGN_OR_RETURN(outcome.reduction, reducer_.Finish());
    Enter(step, proto::WORK_PHASE_OPTIMIZER);
    if (outcome.reduction.not_finite) {
      buffers_.Restore();
      SLUICE_RETURN_IF_ERROR(
          not_finite_.OnNotFinite(step, outcome.reduction, loss.status(), reducer_.layout()));
      outcome.skipped = true;
    } else {
      not_finite_.OnFinite();
      SLUICE_RETURN_IF_ERROR(trainer_.ApplyGradients(step));
    }
    outcome.duration = absl::Now() - begin;
    return outcome;
  }

 private:
  // In the middle of forward and backward.
  absl::Status SumOverRanks(absl::Span<float> values) {
    Enter(sink_.step(), proto::WORK_PHASE_COLLECTIVE);
    SLUICE_RETURN_IF_ERROR(reducer_.AllReduceMean(values));
    const auto ranks = static_cast<float>(reducer_.layout().world_size());
    for (float& value : values) value *= ranks;
    Enter(sink_.step(), proto::WORK_PHASE_COMPUTE);
    return absl::OkStatus();
  }

  void Enter(Step step, proto::WorkPhase phase) {
    if (guards_.probe != nullptr) guards_.probe->Enter(step, phase);
  }

  Trainer& trainer_;
  Reducer& reducer_;
  const StepGuards& guards_;
  ReducerSink sink_;
  SavedBuffers buffers_;
  NotFiniteSteps not_finite_;
};

}  // namespace

absl::Status RunSteps(Trainer& trainer, Reducer& reducer, Step first,
                      const std::function<int64_t()>& total_steps, int64_t checksum_every,
                      const std::function<bool(Step)>& before_step,
                      const std::function<void(const StepOutcome&)>& on_step,
                      const StepGuards& guards) {
  Loop loop(trainer, reducer, guards);
  for (Step step = first; before_step(step) && step.value < total_steps(); step = step + 1) {
    SLUICE_ASSIGN_OR_RETURN(StepOutcome outcome, loop.Run(step));
    const bool due = checksum_every > 0 && (step.value + 1) % checksum_every == 0;
    if (due || step.value + 1 == total_steps()) {
      outcome.has_checksum = true;
      outcome.checksum = trainer.ParameterChecksum();
    }
    on_step(outcome);
  }
  return absl::OkStatus();
}

}  // namespace sluice
