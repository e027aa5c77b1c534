#pragma once

#include <cstdint>
#include <map>

#include "absl/status/status.h"
#include "base/ids.h"
#include "comm/reducer/bucket_layout.h"
#include "comm/reducer/codec_plan.h"

namespace sluice {

/// Which plan is in force where every plan is raw: a number to report, as no byte depends on it.
/// \threadsafety one thread at a time
class RawPlans {
 public:
  /// Takes a plan with a version above those offered; ignores others.
  /// \error kInvalidArgument  wrong number of codecs, or a codec out of range: names the tensor
  /// \error kUnimplemented    a codec other than raw: names the tensor
  absl::Status Offer(const CodecPlan& plan, const BucketLayout& layout);

  /// The version in force; called with ascending steps.
  uint32_t InForce(Step step);

 private:
  std::map<uint32_t, Step> waiting_;  // version -> effective step
  uint32_t newest_ = 0;
  uint32_t in_force_ = 0;
};

}  // namespace sluice
