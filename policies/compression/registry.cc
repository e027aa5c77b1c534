#include <functional>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "policies/compression/accordion.h"
#include "policies/compression/accordion_lgreco.h"
#include "policies/compression/alpha_schedule.h"
#include "policies/compression/codec_choice.h"
#include "policies/compression/compression_policy.h"
#include "policies/compression/global_topk.h"
#include "policies/compression/lgreco.h"
#include "policies/compression/lgreco_time.h"
#include "policies/compression/none.h"
#include "policies/compression/recorded.h"
#include "policies/compression/uniform.h"
#include "policies/plugin/plugin_policy.h"

namespace sluice {
namespace {

using Factory = std::function<absl::StatusOr<std::unique_ptr<CompressionPolicyMaker>>(
    const proto::Compression& config)>;

template <class Policy>
Factory Make() {
  return [](const proto::Compression& config) { return std::make_unique<Policy>(config); };
}

// One line per policy.
std::map<std::string, Factory> Factories() {
  return {{"accordion", Make<AccordionPolicy>()},
          {"accordion+lgreco", Make<AccordionLGrecoPolicy>()},
          {"global_topk", Make<GlobalTopKPolicy>()},
          {"lgreco", Make<LGrecoPolicy>()},
          {"lgreco_time", Make<LGrecoTimePolicy>()},
          {"none", Make<NonePolicy>()},
          {"plugin", Make<PluginPolicy>()},
          {"recorded", RecordedPolicy::Create},
          {"uniform", Make<UniformPolicy>()}};
}

absl::StatusOr<std::unique_ptr<CompressionPolicyMaker>> Construct(
    const proto::Compression& config) {
  const std::map<std::string, Factory> factories = Factories();
  const auto found = factories.find(config.policy());
  if (found == factories.end()) {
    return absl::InvalidArgumentError(absl::StrCat("unknown compression policy \"", config.policy(),
                                                   "\", expected one of ",
                                                   absl::StrJoin(CompressionPolicyNames(), ", ")));
  }
  if (config.policy() != "none" && !CanHaveBits(UniformCodec(config))) {
    return absl::InvalidArgumentError(
        absl::StrCat("compression.uniform_bits is ", config.uniform_bits(),
                     ", but quantizer l2norm needs 2 or more: one bit is the sign"));
  }
  const bool solves = config.policy() == "lgreco" || config.policy() == "lgreco_time" ||
                      config.policy() == "accordion+lgreco";
  if (solves && config.metric() != "l2" && config.metric() != "l2sq") {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown compression.metric \"", config.metric(), "\", expected l2 or l2sq"));
  }
  if (!config.alpha_schedule().empty()) {
    SLUICE_RETURN_IF_ERROR(Annotate(AlphaSchedule::Parse(config.alpha_schedule()).status(),
                                    "compression.alpha_schedule"));
  }
  if (config.policy() == "global_topk") SLUICE_RETURN_IF_ERROR(CheckGlobalTopK(config));
  if (config.policy() == "plugin" && config.plugin().empty()) {
    return absl::InvalidArgumentError(
        "compression.policy plugin needs compression.plugin, the path of a shared object "
        "(docs/policy_plugins.md)");
  }
  return found->second(config);
}

}  // namespace

std::vector<std::string> CompressionPolicyNames() {
  std::vector<std::string> names;
  for (const auto& [name, factory] : Factories()) names.push_back(name);
  return names;
}

absl::StatusOr<std::unique_ptr<CompressionPolicyMaker>> CreateCompressionPolicy(
    const proto::Compression& config) {
  SLUICE_ASSIGN_OR_RETURN(auto policy, Construct(config));
  if (config.policy() == "plugin") {
    SLUICE_RETURN_IF_ERROR(static_cast<PluginPolicy&>(*policy).Start());
  }
  return policy;
}

absl::StatusOr<bool> PolicyNeedsErrors(const proto::Compression& config) {
  SLUICE_ASSIGN_OR_RETURN(const auto policy, Construct(config));
  return policy->NeedsErrors();
}

}  // namespace sluice
