#include "policies/compression/uniform.h"

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "policies/compression/plan.h"

namespace sluice {

absl::StatusOr<proto::CompressionPolicy> UniformPolicy::Plan(
    const proto::WindowStatistics& window) {
  SLUICE_ASSIGN_OR_RETURN(const OptionIndices options, UniformOptions(window, reference_));
  int eligible = 0;
  for (const proto::LayerStatistics& layer : window.layers()) eligible += layer.eligible();
  proto::CompressionPolicy plan = MakePlan(
      window, options,
      absl::StrCat("uniform: ", reference_.bits(), " bits in buckets of ", reference_.bucket_size(),
                   " on ", eligible, " of ", window.layers_size(), " layers, as configured"));
  plan.set_uniform_bytes(plan.predicted_bytes());
  return plan;
}

}  // namespace sluice
