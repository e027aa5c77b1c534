#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/ids.h"
#include "models/batch.h"
#include "models/data/dataset.h"
#include "proto/job.pb.h"
#include "training/model_state.h"
#include "training/trainer.h"

namespace sluice {

/// What a phase may look at and change; all of it outlives the phase.
struct PhaseModel {
  Network& network;
  const std::vector<NamedParameter>& parameters;
  const Dataset& data;  ///< that is trained on
  const proto::JobConfig& job;
};

/// Where a batch, a part of a step's global batch, is in it.
struct BatchPlace {
  Step step;
  Rank rank;  ///< that computes it
  int world_size;
  int64_t first_sample;  ///< the batch's first one, in the global batch
  bool first_of_rank;    ///< of the batches that the rank computes in this step
};

/// One kind of phase on one rank: what it does besides the step that all phases have. A kind is a folder here
/// and a line in AllPhases. All it does must be a function of the phase's settings, the parameters, the step and
/// what it saves, so that replicas stay equal and a rank that comes later can go on with it. LibTorch's exceptions
/// are caught by the caller.
/// \threadsafety step loop
class TrainingPhase {
 public:
  virtual ~TrainingPhase() = default;
  /// Before its first step on this rank: at the phase's begin, or where the rank joins it.
  virtual absl::Status Prepare(const PhaseModel& model) { return absl::OkStatus(); }
  /// Whether the phase goes on with the optimiser's state of the one before, if that has the same kind of
  /// optimiser.
  virtual bool KeepsOptimizerState() const { return true; }
  /// Whether the parameter is trained. The gradient of one that is not is zero, and it stays as it is.
  virtual bool Trains(const std::string& parameter) const { return true; }
  virtual void BeforeStep(Step step) {}
  /// The sum of the batch's sample losses, forward pass included, in the place of the usual one; undefined = the usual
  /// one. What is added for a step as a whole counts as much as one sample's loss does.
  virtual absl::StatusOr<at::Tensor> LossSum(const Batch& batch, const BatchPlace& place) {
    return at::Tensor();
  }
  /// Added to the sum of the batch's sample losses, and like that a sum over samples: `batch` is a part of the global
  /// batch (a rank's slice, or a micro-batch of it), each sample is in one, and all that is summed is divided by the
  /// global batch's size. So what is to be added to the mean loss as it is, a term of the parameters say, is to be
  /// multiplied by batch.size(). Undefined = nothing.
  virtual at::Tensor LossTerm(const Batch& batch, const at::Tensor& logits) { return {}; }
  /// The parameters are about to move by what all ranks agree on.
  virtual void BeforeUpdate() {}
  /// They have moved, and may be moved further.
  /// \return elements that are zero now and stay so: the caller zeroes what else is kept of them
  virtual absl::StatusOr<std::vector<ElementRun>> AfterUpdate(Step step, double learning_rate) {
    return std::vector<ElementRun>();
  }
  virtual void AfterStep(Step step) {}
  /// What its next steps depend on beside the parameters; empty = nothing. In checkpoints.
  virtual std::string SaveState() const { return ""; }
  /// Takes over what SaveState gave in the same phase, after Prepare. \error  nothing was changed
  virtual absl::Status LoadState(absl::string_view bytes) { return absl::OkStatus(); }
  /// Of its decisions, for the checksum that ranks compare; 0 = it makes none.
  virtual uint64_t Digest() const { return 0; }
  /// After its last step.
  virtual absl::Status Finish() { return absl::OkStatus(); }
  /// One line about it for the log; empty = nothing to say.
  virtual std::string Report() const { return ""; }
};

/// Makes the phases of one network.
/// \param first, steps  the phase's first step, and how many there are at the most
/// \error kInvalidArgument  an unknown kind, or settings that do not go together
using PhaseMaker = std::function<absl::StatusOr<std::unique_ptr<TrainingPhase>>(
    const proto::Phase& settings, Step first, int64_t steps)>;

/// Of all kinds. What one phase finds out about the network's structure is there for those made later.
PhaseMaker AllPhases();

}  // namespace sluice
