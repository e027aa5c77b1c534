#pragma once

#include <torch/nn/module.h>
#include <torch/optim/optimizer.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "training/gradient_hooks.h"
#include "training/not_finite_steps.h"
#include "training/session/session.h"
#include "training/step_loop.h"

namespace sluice {

/// Makes an optimizer step on gradients that are averaged over all ranks, compressed as the job's policy says
/// (`compression` of the job file). Each gradient leaves as soon as backward has it, while backward goes on.
///
///     for (...) {
///       optimizer->ZeroGrad();                       // or the optimizer's own, which costs a pass over memory
///       torch::Tensor loss = Loss(model, my_share_of_the_batch);
///       loss.backward();                             // gradients leave
///       status = optimizer->Step(loss.item<double>());  // the mean is there; the optimizer steps
///     }
///
/// The mean of the ranks' gradients is the gradient of the global batch's mean loss if all ranks have equally many
/// samples. Without compression it has the bits of the built-in trainer's.
///
/// A step is reported to the coordinator: progress, metrics and plans are those of any job, and parameters are compared
/// across ranks every training.checksum_every_steps steps: start from equal ones (BroadcastParameters).
///
/// Gradients that no rank's backward has reached are zero, not undefined: weight decay and momentum still move
/// these parameters.
/// \threadsafety the thread that joined, on which backward() is called too
class DistributedOptimizer : private GradientSink, private GenerationUser {
 public:
  struct Options {
    /// Of the job, for progress lines; 0: not known.
    int64_t total_steps = 0;
    /// Gradients leave in the last one of so many; they add up before. Divide the loss by it for their mean.
    int backward_passes_per_step = 1;
  };

  /// All ranks make theirs, one in a session. Compares names, shapes and types across ranks.
  /// \param optimizer   must outlive this, and keep its parameters
  /// \param parameters  of the optimizer, in the order of forward; those that need no gradient are left out
  /// \error kInvalidArgument     not float32, dense and on the CPU; a name that comes twice; a parameter of the optimizer that
  ///                             is not among them
  /// \error kFailedPrecondition  SL2001 ranks disagree: names the first tensor; or there is another one already
  static absl::StatusOr<std::unique_ptr<DistributedOptimizer>> Create(
      Session& session, torch::optim::Optimizer& optimizer, NamedTensors parameters,
      const Options& options);
  static absl::StatusOr<std::unique_ptr<DistributedOptimizer>> Create(
      Session& session, torch::optim::Optimizer& optimizer, const torch::nn::Module& module,
      const Options& options);
  static absl::StatusOr<std::unique_ptr<DistributedOptimizer>> Create(
      Session& session, torch::optim::Optimizer& optimizer, const torch::nn::Module& module) {
    return Create(session, optimizer, module, Options());
  }
  ~DistributedOptimizer() override;

  /// Before the first backward of a step, in the place of the optimizer's zero_grad().
  void ZeroGrad();

  /// Waits until all gradients are averaged, so that they can be looked at or clipped before Step.
  /// \error as Step
  absl::Status Synchronize();

  /// Synchronize, if that was not done, then the optimizer's step().
  /// \param loss  this rank's, for progress lines and metrics: the mean over ranks is reported
  /// \error kAborted      the generation is over before this step: RunElastic knows what to do; or the user has
  ///                      stopped the job, or it has failed elsewhere. The step was not done
  /// \error kOutOfRange, kCancelled  SL3001 a gradient is not finite (training.on_nan)
  /// \error kInvalidArgument  backward was called more often than backward_passes_per_step says
  /// \error kUnavailable, kDeadlineExceeded  a rank is gone, or too slow. After any error nothing can be reduced
  ///                      any more in this generation
  absl::Status Step(double loss);

  /// Steps that the job has done, whatever generation, also those that were taken back since.
  int64_t completed_steps() const { return session_.core().completed().value; }

 private:
  DistributedOptimizer(Session& session, torch::optim::Optimizer& optimizer,
                       NamedTensors parameters, const Options& options);

  // GenerationUser.
  void Detach() override;
  absl::Status Attach() override;
  // GradientSink, called from backward.
  absl::Span<float> gradient(int index) override;
  void Ready(int index) override;

  void BeginStep();
  absl::Status Reduce();
  void Report(double loss);
  uint64_t ParameterChecksum() const;

  Session& session_;
  torch::optim::Optimizer& optimizer_;
  const NamedTensors parameters_;  // in backward order
  const Options options_;
  NotFiniteSteps not_finite_;
  bool attached_ = false;
  std::optional<GradientHooks> hooks_;  // while attached
  std::vector<int> passes_;             // by parameter, in this step
  bool begun_ = false;
  bool reduced_ = false;
  absl::Status error_;  // of this step's begin
  StepOutcome outcome_;
  absl::Time since_;  // the last step's end
};

}  // namespace sluice
