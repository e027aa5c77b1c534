#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "proto/job.pb.h"
#include "training/phases/otov3/group_pruner.h"
#include "training/phases/otov3/prune_space.h"
#include "training/phases/phase.h"

namespace sluice {

/// Finds what a phase may remove of its network. A function of its structure alone: the same on all ranks.
using FindSpace = std::function<absl::StatusOr<otov3::PruneSpace>(const PhaseModel& model)>;

/// Structured pruning while training: all that it does is GroupPruner's (docs/otov3.md). The optimiser goes on with
/// its state.
class Otov3Phase : public TrainingPhase {
 public:
  /// \param first, steps  the phase's first step, and how many there are at the most
  Otov3Phase(otov3::PruneSettings settings, Step first, int64_t steps, FindSpace find_space)
      : settings_(std::move(settings)),
        first_(first),
        steps_(steps),
        find_space_(std::move(find_space)) {}

  /// \param spaces  what models/graph finds
  static std::unique_ptr<TrainingPhase> Create(const proto::Phase& settings, Step first,
                                               int64_t steps,
                                               std::shared_ptr<otov3::PruneSpaces> spaces);

  /// \error of finding them, or as GroupPruner::Create
  absl::Status Prepare(const PhaseModel& model) override;
  void BeforeUpdate() override;
  /// The direction that the optimiser took is how far the parameters moved over the learning rate.
  absl::StatusOr<std::vector<ElementRun>> AfterUpdate(Step step, double learning_rate) override;
  std::string SaveState() const override;
  absl::Status LoadState(absl::string_view bytes) override;
  uint64_t Digest() const override;
  /// The groups that the log calls zero are, to the bit.
  absl::Status Finish() override;
  std::string Report() const override;

  /// \pre prepared
  const otov3::GroupPruner& pruner() const { return *pruner_; }

 private:
  const otov3::PruneSettings settings_;
  const Step first_;
  const int64_t steps_;
  const FindSpace find_space_;
  std::optional<otov3::GroupPruner> pruner_;
  std::vector<absl::Span<float>> values_;  // of the parameters
};

}  // namespace sluice
