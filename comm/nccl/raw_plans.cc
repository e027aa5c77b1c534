#include "comm/nccl/raw_plans.h"

#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace sluice {

absl::Status RawPlans::Offer(const CodecPlan& plan, const BucketLayout& layout) {
  if (plan.codecs.size() != layout.tensors().size()) {
    return absl::InvalidArgumentError(absl::StrCat("plan ", plan.version, ": ", plan.codecs.size(),
                                                   " codecs for ", layout.tensors().size(),
                                                   " tensors"));
  }
  for (size_t t = 0; t < plan.codecs.size(); ++t) {
    const auto where = [&] {
      return absl::StrCat("plan ", plan.version, ", tensor ", layout.tensors()[t].name);
    };
    SLUICE_RETURN_IF_ERROR_AT(ValidateCodec(plan.codecs[t]), where());
    if (plan.codecs[t].kind != CodecKind::kRaw) {
      return absl::UnimplementedError(absl::StrCat(
          where(), ": no codec ", ToString(plan.codecs[t]),
          " on GPUs, only raw; use the UCX transport, or a policy that leaves all tensors raw"));
    }
  }
  if (plan.version <= newest_) return absl::OkStatus();
  newest_ = plan.version;
  waiting_.emplace(plan.version, plan.effective_step);
  return absl::OkStatus();
}

uint32_t RawPlans::InForce(Step step) {
  for (auto plan = waiting_.end(); plan != waiting_.begin();) {
    --plan;
    if (plan->second > step) continue;
    in_force_ = plan->first;
    waiting_.erase(waiting_.begin(), std::next(plan));
    break;
  }
  return in_force_;
}

}  // namespace sluice
