#include "training/phases/finetune/finetune.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace sluice {

absl::Status FinetunePhase::Prepare(const PhaseModel& model) {
  tensors_ = model.parameters.size();
  trained_ = 0;
  for (const std::string& prefix : frozen_) {
    const bool known = std::any_of(
        model.parameters.begin(), model.parameters.end(),
        [&](const auto& parameter) { return absl::StartsWith(parameter.name, prefix); });
    if (known) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("frozen: no parameter's name starts with \"", prefix, "\"; the first is \"",
                     model.parameters.empty() ? "" : model.parameters.back().name, "\""));
  }
  for (const auto& parameter : model.parameters) trained_ += Trains(parameter.name) ? 1 : 0;
  if (trained_ > 0) return absl::OkStatus();
  return absl::InvalidArgumentError("frozen: no parameter is left to train");
}

bool FinetunePhase::Trains(const std::string& parameter) const {
  return std::none_of(frozen_.begin(), frozen_.end(), [&](const std::string& prefix) {
    return absl::StartsWith(parameter, prefix);
  });
}

std::string FinetunePhase::Report() const {
  return absl::StrCat("trains ", trained_, " of ", tensors_, " tensors");
}

}  // namespace sluice
