#pragma once

#include <functional>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "comm/reducer/reducer.h"
#include "proto/control.pb.h"
#include "training/step_loop.h"

namespace sluice {

/// Gathers what a rank's steps came to and hands it on every few steps; with long steps about once a second. \threadsafety step loop
class StepReporter {
 public:
  static constexpr absl::Duration kLongest = absl::Seconds(1);  ///< between reports

  /// \param every_steps  between reports
  StepReporter(int64_t every_steps, std::function<void(proto::StepReport)> send);

  /// \param rank        of the generation that begins
  /// \param world_size  its ranks
  void StartGeneration(Rank rank, int world_size);

  /// Takes one step's outcome and its buckets' times; sends the report when it is due, or `last`.
  void Add(const StepOutcome& outcome, const Reducer& reducer, bool last);

  /// Sends what there is: before the generation ends.
  void Flush(const Reducer& reducer);

  /// What was not sent yet.
  const proto::StepReport& unsent() const { return report_; }

 private:
  void AddTimings(absl::Span<const BucketTimes> buckets);

  const int64_t every_steps_;
  const std::function<void(proto::StepReport)> send_;
  int world_size_ = 0;
  absl::Time last_sent_ = absl::Now();
  proto::StepReport report_;  // timings are sums until it is sent
};

}  // namespace sluice
