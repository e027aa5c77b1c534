#include "policies/compression/accordion_lgreco.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "policies/compression/plan.h"

namespace sluice {

absl::StatusOr<proto::CompressionPolicy> AccordionLGrecoPolicy::Plan(
    const proto::WindowStatistics& window) {
  SLUICE_ASSIGN_OR_RETURN(const OptionIndices uniform, UniformOptions(window, reference_));
  SLUICE_ASSIGN_OR_RETURN(AccordionPolicy::Choices choices, accordion_.Choose(window));
  SLUICE_ASSIGN_OR_RETURN(
      proto::CompressionPolicy plan,
      lgreco_.PlanAgainst(window, {std::move(choices.options), "accordion+lgreco", "accordion"}));
  plan.set_uniform_bytes(PlanBytes(window, uniform));
  plan.set_reason(absl::StrCat(plan.reason(), "; accordion is light on ", choices.light, " of ",
                               choices.eligible, " layers"));
  return plan;
}

}  // namespace sluice
