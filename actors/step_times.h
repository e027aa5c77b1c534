#pragma once

#include <map>
#include <vector>

#include "proto/control.pb.h"
#include "proto/policy.pb.h"

namespace sluice {

/// What the ranks' reports say of a step's times, for policies that plan by them. Pure.
///
/// Between two windows it keeps the sums of all reports:
///
///   ready, backward   per bucket the mean over reports of a rank, then the slowest rank's
///   bytes_per_second  the larger of what buckets in flight really carried (bytes sent / time in which
///                     any was in flight) and of the fastest link's estimate: the first is too low where
///                     the link waits for gradients, the second where several peers share it
///   latency_seconds   the slowest link's
///   codec_seconds     of the options scaled by one factor, so that those of the plan in force add up to
///                     the encoding and decoding that the ranks measured
class StepTimes {
 public:
  void Add(const proto::StepReport& report);

  /// Fills in `window.times`, and scales its options' codec_seconds; forgets the reports.
  /// Leaves the window as it is while no rank has reported buckets.
  /// \param current  the plan under which the reports' steps ran
  void MoveTo(const proto::CompressionPolicy& current, proto::WindowStatistics& window);

 private:
  struct OfRank {
    int reports = 0;
    std::vector<double> ready;  // sums over reports, by bucket
    double in_flight = 0;       // seconds, sum
    double codec = 0;           // seconds, sum
    double sent_bytes = 0;      // per step, sum
  };

  std::map<int, OfRank> ranks_;
  double latency_seconds_ = 0;
  double link_bytes_per_second_ = 0;
};

}  // namespace sluice
