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
///   bytes_per_second  that at which the model of exposed_time.h explains the exposed time that the
///                     plan in force really had: of the rank that waited least, since the others also
///                     waited for it. In the first window after raw steps, that which explains what raw
///                     was exposed more than the plan; what is left then is overhead, not bytes, and is
///                     subtracted from later windows'. At least what buckets in flight carried (bytes sent
///                     / time in which any was in flight), which is too low where the link waits for
///                     gradients. At most kGrowth times the window's before, and in the first one the
///                     fastest link's estimate: short messages can be faster than the link is for long.
///   latency_seconds   the slowest link's
///   codec_seconds     of the options scaled by one factor, so that those of the plan in force add up to
///                     the encoding and decoding that the ranks measured
class StepTimes {
 public:
  /// A link that seems faster under light load is believed little by little.
  static constexpr double kGrowth = 1.25;

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
    double exposed = 0;         // seconds per step, sum
  };
  using Ranks = std::map<int, OfRank>;

  static double LeastExposed(const Ranks& ranks);
  static double Carried(const Ranks& ranks);

  Ranks ranks_;
  Ranks raw_;  // of the steps before the first plan
  double latency_seconds_ = 0;
  double link_bytes_per_second_ = 0;
  double bytes_per_second_ = 0;  // of the window before; 0: none
  double overhead_seconds_ = 0;  // exposed whatever is sent
};

}  // namespace sluice
