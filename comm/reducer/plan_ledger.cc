#include "comm/reducer/plan_ledger.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"

namespace sluice {

PlanLedger::PlanLedger(const BucketLayout& layout) : layout_(layout) {
  held_[0].codecs.resize(layout.tensors().size());
}

absl::Status PlanLedger::Check(const CodecPlan& plan) const {
  if (plan.codecs.size() != layout_.tensors().size()) {
    return absl::InvalidArgumentError(absl::StrCat("plan ", plan.version, ": ", plan.codecs.size(),
                                                   " codecs for ", layout_.tensors().size(),
                                                   " tensors"));
  }
  for (size_t t = 0; t < plan.codecs.size(); ++t) {
    SLUICE_RETURN_IF_ERROR(
        Annotate(ValidateCodec(plan.codecs[t]),
                 absl::StrCat("plan ", plan.version, ", tensor ", layout_.tensors()[t].name)));
  }
  return absl::OkStatus();
}

absl::Status PlanLedger::Begin(CodecPlan plan) {
  if (plan.version == 0) return absl::OkStatus();
  SLUICE_RETURN_IF_ERROR(Check(plan));
  newest_ = last_agreed_ = in_force_ = plan.version;
  held_.clear();
  held_.emplace(plan.version, std::move(plan));
  return absl::OkStatus();
}

absl::Status PlanLedger::Offer(CodecPlan plan) {
  SLUICE_RETURN_IF_ERROR(Check(plan));
  if (plan.version <= newest_) return absl::OkStatus();
  newest_ = plan.version;
  held_.emplace(plan.version, std::move(plan));
  return absl::OkStatus();
}

absl::Status PlanLedger::Agree(uint32_t version) {
  if (version == last_agreed_) return absl::OkStatus();
  if (version < last_agreed_) {
    return absl::InternalError(absl::StrCat("the ranks agree on plan ", version, " after plan ",
                                            last_agreed_, ": a rank forgot a plan it had"));
  }
  if (held_.count(version) == 0) {
    const auto versions = absl::StrJoin(
        held_, ", ", [](std::string* out, const auto& plan) { absl::StrAppend(out, plan.first); });
    return absl::InternalError(absl::StrCat("the ranks agree on plan ", version,
                                            ", which this rank was never offered (it holds ",
                                            versions, "): offer every plan to every rank"));
  }
  last_agreed_ = version;
  agreed_.push_back(version);
  return absl::OkStatus();
}

const CodecPlan& PlanLedger::InForce(Step step) {
  for (size_t i = agreed_.size(); i-- > 0;) {
    if (held_.at(agreed_[i]).effective_step > step) continue;
    in_force_ = agreed_[i];
    agreed_.erase(agreed_.begin(), agreed_.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    held_.erase(held_.begin(), held_.find(in_force_));
    break;
  }
  return held_.at(in_force_);
}

}  // namespace sluice
