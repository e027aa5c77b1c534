#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "absl/status/status.h"
#include "base/ids.h"
#include "comm/reducer/bucket_layout.h"
#include "comm/reducer/codec_plan.h"

namespace sluice {

/// One rank's book of plans: which it was offered, which all ranks hold, which is in force.
///
///     Offer -> held --(1)--> agreed --(2)--> in force --(3)--> forgotten
///
/// (1) Agree: the version was, in some step, the lowest of the newest versions that the ranks hold.
/// (2) InForce: the first later step >= its effective step; with several, the highest wins.
/// (3) A higher version came into force. A held version that was overtaken before (1) or (2) is
///     forgotten as well.
///
/// Every rank sees the same sequence of Agree and InForce, so every rank gives the same answers.
/// Pure bookkeeping. \threadsafety one thread at a time
class PlanLedger {
 public:
  /// Plan 0, raw for every tensor, is in force.
  explicit PlanLedger(const BucketLayout& layout);

  /// `plan` is in force instead, from the first step on, and known to all ranks; version 0 changes
  /// nothing. Before anything else. \error as Offer
  absl::Status Begin(CodecPlan plan);

  /// Takes a plan with a version above newest(); ignores others.
  /// \error kInvalidArgument  wrong number of codecs, or a codec out of range: names the tensor
  absl::Status Offer(CodecPlan plan);

  /// The newest version offered; 0 at first.
  uint32_t newest() const { return newest_; }

  /// `version` is the lowest of the newest versions of all ranks.
  /// \error kInternal  this rank does not hold it, or it is lower than the one before
  absl::Status Agree(uint32_t version);

  /// The plan of `step`; called with ascending steps. Valid until the next call.
  const CodecPlan& InForce(Step step);

 private:
  absl::Status Check(const CodecPlan& plan) const;

  const BucketLayout& layout_;
  std::map<uint32_t, CodecPlan> held_;  // a map: nodes stay in place while others are added
  std::vector<uint32_t> agreed_;        // not in force yet, ascending
  uint32_t newest_ = 0;
  uint32_t last_agreed_ = 0;
  uint32_t in_force_ = 0;
};

}  // namespace sluice
