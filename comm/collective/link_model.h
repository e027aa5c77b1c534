#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "comm/collective/link_estimate.h"

namespace sluice {

/// Latency and bandwidth of the links from each peer to this process, learnt from real transfers.
///
/// A transfer of n bytes seems to take d = offset + latency + n / bandwidth + queueing, where the
/// offset of the two clocks is unknown and queueing is never negative. So the truth is the lowest
/// line under the points (n, d): among all lines with no point below them the model takes the one
/// with the least sum of distances (Moon, Skelly & Towsley 1999), the edge of the lower convex hull
/// at the mean of n. Its slope is 1 / bandwidth. The intercepts of both directions together free
/// the latency of the offset: (a_ij + a_ji) / 2, as in NTP.
///
/// Only the latest points count: the last kPointsPerSize of every size class (powers of two), and
/// none that more than kMostAge transfers of that peer followed. So a changed link is known once
/// its sizes have been sent that often. Clocks that drift apart by d during that time make the
/// latency wrong by up to d. Pure: no clock inside. Allocates in the constructor alone.
/// \threadsafety one thread
class LinkModel {
 public:
  static constexpr int kPointsPerSize = 16;
  static constexpr int64_t kMostAge = 512;
  /// An estimate needs so many points, and a longest message of twice the shortest one's bytes.
  static constexpr int kFewestPoints = 8;

  explicit LinkModel(int peers);

  /// A message of `bytes` from `peer` arrived `one_way_seconds` after it was sent: its arrival by
  /// the clock here less its departure by the peer's. Any offset between the clocks will do.
  void Observe(Rank peer, int64_t bytes, double one_way_seconds);

  /// `peer` says that Intercept(us) over there is this.
  void ObserveReverse(Rank peer, double reverse_intercept_seconds);

  /// What an empty message from `peer` seems to take, clock offset included: to be sent to `peer`
  /// for its ObserveReverse. nullopt until there are enough points.
  std::optional<double> Intercept(Rank peer) const;

  /// nullopt until there are enough points and the peer's intercept.
  std::optional<LinkEstimate> Estimate(Rank peer) const;

 private:
  struct Point {
    double bytes = 0;
    double seconds = 0;
    int64_t number = 0;  // of the transfer, from 1
  };
  struct Line {
    double intercept;
    double slope;
  };
  static constexpr int kSizeClasses = 40;
  static constexpr int kMostPoints = kSizeClasses * kPointsPerSize;

  struct Link {
    std::array<std::array<Point, kPointsPerSize>, kSizeClasses> points;
    std::array<int64_t, kSizeClasses> seen{};
    int64_t observations = 0;
    std::optional<double> reverse_intercept;
    // The line through the points, or that there is none, until the next point.
    mutable std::optional<Line> line;
    mutable bool line_is_current = false;
  };

  static std::optional<Line> FitLine(const Link& link);
  static const std::optional<Line>& CurrentLine(const Link& link);

  const Link& link(Rank peer) const;
  Link& link(Rank peer);

  std::vector<Link> links_;  // by rank
};

}  // namespace sluice
