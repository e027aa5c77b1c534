#pragma once

#include <string>
#include <vector>

#include "training/phases/phase.h"

namespace sluice {

/// Goes on with the parameters, not with the optimiser: its state starts anew, and parameters whose names start
/// with one of `frozen` stay as they are.
class FinetunePhase : public TrainingPhase {
 public:
  explicit FinetunePhase(const proto::Phase& settings)
      : frozen_(settings.frozen().begin(), settings.frozen().end()) {}

  /// \error kInvalidArgument  a prefix of no parameter, or nothing left to train
  absl::Status Prepare(const PhaseModel& model) override;
  bool KeepsOptimizerState() const override { return false; }
  bool Trains(const std::string& parameter) const override;
  std::string Report() const override;

 private:
  const std::vector<std::string> frozen_;
  size_t tensors_ = 0;
  size_t trained_ = 0;
};

}  // namespace sluice
