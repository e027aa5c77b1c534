#pragma once

#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "proto/policy.pb.h"

namespace sluice {

/// A rank's published policies that are not due yet: a plan is due at the begin of the step before
/// the one at which it takes effect.
///
/// The ranks tell each other in band the newest plan that they hold, and skip those that never were
/// the newest (docs/adr/0002). So plans that are known long before, as those of a recording are,
/// must reach the reducer one by one. \threadsafety the owner's
class DuePolicies {
 public:
  /// In the order of versions, and so of effective steps.
  void Add(proto::CompressionPolicy policy) { waiting_.push_back(std::move(policy)); }

  /// What is due before `step` begins, oldest first; no longer waiting afterwards.
  std::vector<proto::CompressionPolicy> Take(Step step) {
    std::vector<proto::CompressionPolicy> due;
    while (!waiting_.empty() && waiting_.front().effective_step() <= step.value + 1) {
      due.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
    }
    return due;
  }

 private:
  std::deque<proto::CompressionPolicy> waiting_;
};

}  // namespace sluice
