#include "training/phases/otov3/otov3.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace sluice {

std::unique_ptr<TrainingPhase> Otov3Phase::Create(const proto::Phase& settings, Step first,
                                                  int64_t steps,
                                                  std::shared_ptr<otov3::PruneSpaces> spaces) {
  const otov3::PruneSettings prune = otov3::PruneSettingsOf(settings);
  return std::make_unique<Otov3Phase>(
      prune, first, steps, [prune, spaces = std::move(spaces)](const PhaseModel& model) {
        return spaces->Of(model.network, model.data.shape(), prune);
      });
}

absl::Status Otov3Phase::Prepare(const PhaseModel& model) {
  SLUICE_ASSIGN_OR_RETURN(otov3::PruneSpace space, find_space_(model));
  std::vector<ParameterInfo> infos;
  values_.clear();
  for (const NamedParameter& parameter : model.parameters) {
    SLUICE_CHECK(parameter.tensor.is_contiguous(), "one run of memory each");
    infos.push_back({parameter.name, parameter.tensor.sizes().vec()});
    values_.emplace_back(parameter.tensor.data_ptr<float>(),
                         static_cast<size_t>(parameter.tensor.numel()));
  }
  SLUICE_ASSIGN_OR_RETURN(
      pruner_, otov3::GroupPruner::Create(settings_, std::move(space), infos, first_, steps_));
  return absl::OkStatus();
}

void Otov3Phase::BeforeUpdate() { pruner_->BeforeOptimizer(values_); }

absl::StatusOr<std::vector<ElementRun>> Otov3Phase::AfterUpdate(Step step, double learning_rate) {
  const bool was_divided = pruner_->divided();
  auto zeroed = pruner_->AfterOptimizer(step, learning_rate, values_);
  if (!was_divided && pruner_->divided() && settings_.mode == otov3::Mode::kErase) {
    const auto achieved =
        std::count(pruner_->redundant().begin(), pruner_->redundant().end(), true);
    if (achieved < pruner_->requested()) {
      SLUICE_LOG(Warning, "otov3 erases ", achieved, " operators, ", pruner_->requested(),
                 " were requested: without another one it would be no network");
    }
  }
  return zeroed;
}

std::string Otov3Phase::SaveState() const { return pruner_->SaveState(); }

absl::Status Otov3Phase::LoadState(absl::string_view bytes) { return pruner_->LoadState(bytes); }

uint64_t Otov3Phase::Digest() const { return pruner_->log().digest(); }

absl::Status Otov3Phase::Finish() {
  for (int g = 0; g < pruner_->view().size(); ++g) {
    SLUICE_CHECK(!pruner_->zero()[static_cast<size_t>(g)] || pruner_->view().IsZero(g, values_),
                 "what is zero stays zero");
  }
  return absl::OkStatus();
}

std::string Otov3Phase::Report() const {
  const otov3::Timeline& timeline = pruner_->timeline();
  const std::string between =
      absl::StrCat(" between its steps ", timeline.partition, " and ", timeline.deadline);
  if (settings_.mode == otov3::Mode::kErase) {
    return absl::StrCat("is to erase ", pruner_->requested(), " of ", pruner_->view().size(),
                        " operators", between);
  }
  return absl::StrCat("is to prune ", pruner_->requested(), " of ", pruner_->view().size(),
                      " groups in ", pruner_->view().classes().size(), " classes,", between);
}

}  // namespace sluice
