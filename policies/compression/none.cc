#include "policies/compression/none.h"

#include "base/status_macros.h"
#include "policies/compression/plan.h"

namespace sluice {

absl::StatusOr<proto::CompressionPolicy> NonePolicy::Plan(const proto::WindowStatistics& window) {
  SLUICE_ASSIGN_OR_RETURN(const OptionIndices raw, RawOptions(window));
  proto::CompressionPolicy plan = MakePlan(window, raw, "none: every layer raw, as configured");
  const absl::StatusOr<OptionIndices> uniform = UniformOptions(window, reference_);
  if (uniform.ok()) plan.set_uniform_bytes(PlanBytes(window, *uniform));
  return plan;
}

}  // namespace sluice
