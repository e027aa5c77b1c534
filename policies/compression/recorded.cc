#include "policies/compression/recorded.h"

#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "policies/compression/effective_step.h"
#include "policies/compression/plan.h"
#include "policies/records/records.h"

namespace sluice {

absl::StatusOr<std::unique_ptr<CompressionPolicyMaker>> RecordedPolicy::Create(
    const proto::Compression& config) {
  if (config.plan_file().empty()) {
    return absl::InvalidArgumentError(
        "policy recorded plays a file, but compression.plan_file is empty: give it the "
        "policies.jsonl of an earlier run");
  }
  auto read = ReadPolicies(config.plan_file());
  if (!read.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("compression.plan_file: ", read.status().message()));
  }
  if (read->records.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("compression.plan_file: ", config.plan_file(), " has no plans"));
  }
  return std::unique_ptr<CompressionPolicyMaker>(
      new RecordedPolicy(config, std::move(read->records), std::move(read->warning)));
}

std::vector<int64_t> RecordedPolicy::LaterSteps() const {
  std::set<int64_t> steps;
  for (const proto::CompressionPolicy& plan : plans_) {
    if (plan.effective_step() > config_.warmup_steps()) steps.insert(plan.effective_step());
  }
  return {steps.begin(), steps.end()};
}

absl::StatusOr<proto::CompressionPolicy> RecordedPolicy::Plan(
    const proto::WindowStatistics& window) {
  SLUICE_ASSIGN_OR_RETURN(OptionIndices options, RawOptions(window));
  const int64_t step = EffectiveStep(config_, window.last_step());
  const proto::CompressionPolicy* recorded = nullptr;
  for (const proto::CompressionPolicy& plan : plans_) {
    if (plan.effective_step() <= step) recorded = &plan;
  }
  const std::string warning = warning_.empty() ? "" : absl::StrCat("; ", warning_);
  proto::CompressionPolicy plan = MakePlan(window, options, "");
  const absl::StatusOr<OptionIndices> uniform = UniformOptions(window, UniformCodec(config_));
  if (uniform.ok()) plan.set_uniform_bytes(PlanBytes(window, *uniform));
  if (recorded == nullptr) {
    plan.set_reason(absl::StrCat("recorded: raw, the first plan of ", config_.plan_file(),
                                 " begins later", warning));
    return plan;
  }

  const std::string which = absl::StrCat("plan ", recorded->version(), " of ", config_.plan_file());
  if (recorded->layers_size() != window.layers_size()) {
    return absl::FailedPreconditionError(
        absl::StrCat(which, " has ", recorded->layers_size(), " layers, the model has ",
                     window.layers_size(), ": it was recorded with another model"));
  }
  std::map<std::string, const proto::CodecChoice*> choices;
  for (const proto::LayerChoice& layer : recorded->layers()) choices[layer.name()] = &layer.codec();
  bool sizes_known = true;
  for (int l = 0; l < window.layers_size(); ++l) {
    const proto::LayerStatistics& layer = window.layers(l);
    const auto choice = choices.find(layer.name());
    if (choice == choices.end()) {
      return absl::FailedPreconditionError(absl::StrCat(which, " lacks the model's layer \"",
                                                        layer.name(),
                                                        "\": it was recorded with another model"));
    }
    *plan.mutable_layers(l)->mutable_codec() = *choice->second;
    const int option = FindOption(layer, *choice->second);
    sizes_known = sizes_known && option >= 0;
    if (option >= 0) options[l] = option;
  }
  plan.set_predicted_bytes(sizes_known ? PlanBytes(window, options) : recorded->predicted_bytes());
  plan.set_reason(absl::StrCat("recorded: ", which, warning));
  return plan;
}

}  // namespace sluice
