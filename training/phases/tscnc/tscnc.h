#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "training/phases/phase.h"
#include "training/robust/attack.h"
#include "training/robust/condition_constraint.h"
#include "training/robust/network_weights.h"
#include "training/robust/prune_schedule.h"

namespace sluice {

/// Robust and compact training (docs/tscnc.md): the loss is of adversarial images, with a constraint on each layer's
/// singular values and one on the distribution of its weights; the smallest weights are pruned.
///
/// Which weights are pruned is nowhere kept: a weight of a layer that is 0 when a step begins gets no gradient in it and
/// is 0 afterwards. So a rank that comes later, and a run that is resumed, go on with the same bits.
///
/// What depends on weights alone is computed by one rank per layer, which adds world size times its gradient to its own:
/// the mean over ranks is what it should be.
/// Source: Feng, Lin, Gao & Wei, 2025, "Lipschitz constant meets condition number" (arXiv 2503.20454).
class TscncPhase : public TrainingPhase {
 public:
  /// \error kInvalidArgument  an unknown constraint
  static absl::StatusOr<std::unique_ptr<TrainingPhase>> Create(const proto::Phase& settings,
                                                               Step first, int64_t steps);
  ~TscncPhase() override;

  /// \error kInvalidArgument  data that cannot be attacked, a name in cnc.layers of no layer, a network without layers
  absl::Status Prepare(const PhaseModel& model) override;
  void BeforeStep(Step step) override;
  absl::StatusOr<at::Tensor> LossSum(const Batch& batch, const BatchPlace& place) override;
  void AfterStep(Step step) override;
  absl::Status Finish() override;
  std::string Report() const override;

 private:
  struct Layer {
    LayerWeight weight;
    bool constrained = false;  ///< by cnc
    double sparsity = 0;       ///< in the end
    at::Tensor pruned;         ///< bool: the weights that were 0 when the step began
    std::optional<unsigned> hook;
  };

  TscncPhase(const proto::Phase& settings, ConditionKind kind, Step first, int64_t steps);

  absl::StatusOr<at::Tensor> SampleLosses(const Batch& batch, const BatchPlace& place);
  /// The constraints of the layers that the rank owns; undefined if there are none.
  at::Tensor ConstraintTerm(const BatchPlace& place);
  void KeepPruned();
  void LogEnd();

  const proto::Tscnc settings_;
  const std::string name_;
  const ConditionKind kind_;
  const Step first_;
  const int64_t steps_;
  const PruneSchedule schedule_;  ///< of the whole share: layers scale it
  std::optional<PhaseModel> model_;
  PixelSpace space_;
  std::vector<Layer> layers_;
  int64_t weights_ = 0;       ///< of all layers
  std::optional<Rank> rank_;  ///< in the last step; absent before the first
  bool logged_ = false;
};

}  // namespace sluice
