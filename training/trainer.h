#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/ids.h"
#include "models/sum_over_ranks.h"
#include "proto/job.pb.h"
#include "proto/schedule.pb.h"
#include "training/checkpoint_parts.h"

namespace sluice {

/// A parameter tensor of the model, in the order in which backward finishes gradients.
struct ParameterInfo {
  std::string name;
  std::vector<int64_t> shape;
};

/// Some elements of a parameter.
struct ElementRun {
  int parameter = 0;  ///< index
  int64_t begin = 0;
  int64_t size = 0;
};

/// Where gradients go: what the trainer needs of a Reducer, so that tests can do without one.
class GradientSink {
 public:
  virtual ~GradientSink() = default;
  /// Storage for the gradient of parameter `index`, stable for the sink's life. Backward overwrites
  /// it in every step, before Ready.
  virtual absl::Span<float> gradient(int index) = 0;
  /// The gradient of `index` is final for this step; called from backward's hooks.
  virtual void Ready(int index) = 0;
  /// These elements stay zero whatever becomes of their gradients: a sink that owes a part of them may drop it.
  /// Between steps. \error  the sink is of no use any more
  virtual absl::Status Forget(absl::Span<const ElementRun> runs) { return absl::OkStatus(); }
};

/// One replica of the model with its data shard and optimiser: the torch-free door to models/ and
/// training/. Parameters, and the loss when all ranks' are summed, do not depend on the world size
/// but by rounding: the global batch of a step is a function of (seed, step), rank r computes its
/// r-th slice.
/// \threadsafety step loop only
class Trainer {
 public:
  /// Loads data, builds the model with weights drawn from the job's seed (equal on all ranks).
  /// \param job  with every field set: defaults are the caller's to fill in
  /// \error kNotFound, kDataLoss  data files, with path and what to install
  /// \error kInvalidArgument      global_batch smaller than the world size or larger than the
  ///                              training set; an unknown model or optimiser
  static absl::StatusOr<std::unique_ptr<Trainer>> Create(const proto::JobConfig& job, Rank rank,
                                                         int world_size);
  virtual ~Trainer() = default;

  virtual const std::vector<ParameterInfo>& parameters() const = 0;

  /// Lets backward write gradients straight into the sink's storage and tell it when each is final.
  /// Before the first step, and again for another sink, between steps; `sink` must outlive the last
  /// step before the next one is attached.
  virtual void Attach(GradientSink& sink) = 0;

  /// With training.sync_batch_norm: ForwardBackward calls `sum` on every rank, equally often and in the same order, between
  /// calls of Ready too; what it fails with is what ForwardBackward returns. Else nothing is done. As Attach, with a
  /// new sink.
  virtual void ShareStatistics(SumOverRanks sum) = 0;

  /// Steps that visit `epochs` passes over the training set, rounded up, and at least 1; each
  /// visits local_steps global batches.
  virtual int64_t StepsOf(double epochs) const = 0;

  /// Whether BeginPhase would take the phase. To be asked of all phases before the first one begins, while the network is
  /// as it was made: what a phase has to find out about it is found out now, and kept.
  /// \error as BeginPhase
  virtual absl::Status CheckPhase(const proto::Phase& phase, int64_t steps) = 0;

  /// The steps from `first` on belong to this phase, of `steps` steps at the most: its optimiser and learning rates
  /// count from there. Without a call all steps are one phase with the job's own settings. Between steps; on all
  /// ranks before the same one.
  /// \error kInvalidArgument  what the phase asks for does not fit the model: the phase before goes on
  virtual absl::Status BeginPhase(const proto::Phase& phase, Step first, int64_t steps) = 0;

  /// Waits until this rank's slice of the step's (first) global batch is there. ForwardBackward does so itself; this
  /// tells waiting for data from computing.
  virtual absl::Status LoadBatch(Step step) = 0;

  /// Forward and backward on this rank's slice of the step's global batch. Gradients are scaled
  /// such that their mean over ranks is the gradient of the global batch's mean loss. Any step may
  /// follow any other.
  ///
  /// With training.local_steps = k above 1: k times forward, backward on the rank's own mean loss and an
  /// optimiser step, on k global batches. What goes to the sink is how far the parameters went back from where
  /// they were, and they are there again.
  /// \return sum of this rank's sample losses / global batch; the mean of k
  /// \error kInternal    wrapping what LibTorch threw, with step and rank
  /// \error kOutOfRange  the loss is not finite: training diverged; no gradient was touched
  virtual absl::StatusOr<double> ForwardBackward(Step step) = 0;

  /// Optimiser step on the (reduced) gradients in the sink, clipped to optimizer.clip_norm, with the
  /// phase's learning rate of `step`. With local steps: moves the parameters by the mean of the ranks' moves.
  /// Then the weights' average follows.
  virtual absl::Status ApplyGradients(Step step) = 0;

  /// The model's floating-point buffers (batch norm's running statistics). They follow each rank's
  /// own samples; the caller averages them over ranks before an evaluation or a checkpoint.
  virtual std::vector<absl::Span<float>> FloatBuffers() = 0;

  /// XXH3 of the file that the model came from, 0 if none: must be equal on all ranks.
  virtual uint64_t ModelFileDigest() const = 0;

  /// 64-bit XXH3 over all parameters in order, and what the phase has decided: equal on all ranks after every step.
  virtual uint64_t ParameterChecksum() const = 0;

  /// Sums over this rank's shard of the test set: each sample is in exactly one shard. Of the weights' average if
  /// there is one.
  virtual absl::StatusOr<proto::Evaluation> EvaluateShard() = 0;

  /// Parameters, buffers and optimiser state after `completed` steps, as safetensors (safetensors.h):
  /// what a rank that comes later needs to go on with the same bits. A copy.
  /// \error kInternal  wrapping what LibTorch threw
  virtual absl::StatusOr<std::string> SaveState(Step completed) = 0;

  /// Takes over what SaveState gave on another rank or in another process.
  /// \return steps completed, so the number of the step to go on with
  /// \error kDataLoss            no such state
  /// \error kFailedPrecondition  of another model or optimiser: names the difference. After either
  ///                             nothing was changed
  virtual absl::StatusOr<Step> LoadState(absl::string_view bytes) = 0;

  /// This rank is `rank` of `world_size` from now on: its slices and shards are. Steps, order of
  /// samples and learning rates stay. Between steps; another sink may be attached afterwards.
  /// \error kInvalidArgument  global_batch smaller than the world size; nothing was changed
  virtual absl::Status SetWorld(Rank rank, int world_size) = 0;

  /// This rank's files of a checkpoint of `completed` steps: the model, its average and the optimiser on rank
  /// 0; on others the buffers and, with local steps, the optimiser, if there are any (docs/checkpoints.md).
  /// Copies.
  virtual absl::StatusOr<std::vector<CheckpointBlob>> CheckpointFiles(Step completed) = 0;

  /// Sets parameters, buffers and optimiser state to those of the checkpoint at `path`
  /// (ROOT/step_...).
  /// \return steps completed
  /// \error kNotFound            no checkpoint there
  /// \error kDataLoss            a file whose size or checksum is not the manifest's, or damaged
  /// \error kFailedPrecondition  it was written for another model or optimiser. After any nothing was
  ///                             changed
  virtual absl::StatusOr<Step> RestoreCheckpoint(const std::string& path) = 0;

  /// Sets the buffers, and with local steps the optimiser's state, to those that this rank had in the checkpoint
  /// at `path`; in another world, to those of rank % its world size. For ranks that got all else from one rank's LoadState.
  /// \error as RestoreCheckpoint
  virtual absl::Status RestoreBuffers(const std::string& path) = 0;
};

}  // namespace sluice
