#include "comm/collective/link_model.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace sluice {
namespace {

// Of powers of two: 0, 1, 2 to 3, 4 to 7, ...
int SizeClass(int64_t bytes, int classes) {
  int size_class = 0;
  for (; bytes > 0 && size_class + 1 < classes; bytes /= 2) ++size_class;
  return size_class;
}

}  // namespace

LinkModel::LinkModel(int peers) : links_(static_cast<size_t>(peers)) {}

const LinkModel::Link& LinkModel::link(Rank peer) const {
  SLUICE_CHECK(peer >= Rank(0) && peer < Rank(static_cast<int64_t>(links_.size())),
               "a link's peer is out of range");
  return links_[static_cast<size_t>(peer.value)];
}

LinkModel::Link& LinkModel::link(Rank peer) {
  return const_cast<Link&>(std::as_const(*this).link(peer));
}

void LinkModel::Observe(Rank peer, int64_t bytes, double one_way_seconds) {
  Link& from = link(peer);
  const auto size_class = static_cast<size_t>(SizeClass(bytes, kSizeClasses));
  auto& points = from.points[size_class];
  points[static_cast<size_t>(from.seen[size_class]++ % kPointsPerSize)] = {
      static_cast<double>(bytes), one_way_seconds, ++from.observations};
  from.line_is_current = false;
}

void LinkModel::ObserveReverse(Rank peer, double reverse_intercept_seconds) {
  link(peer).reverse_intercept = reverse_intercept_seconds;
}

std::optional<double> LinkModel::Intercept(Rank peer) const {
  const std::optional<Line>& line = CurrentLine(link(peer));
  return line ? std::make_optional(line->intercept) : std::nullopt;
}

std::optional<LinkEstimate> LinkModel::Estimate(Rank peer) const {
  const Link& from = link(peer);
  const std::optional<Line>& line = CurrentLine(from);
  if (!line || !from.reverse_intercept) return std::nullopt;
  LinkEstimate estimate;
  estimate.latency_seconds = std::max(0.0, (line->intercept + *from.reverse_intercept) / 2);
  estimate.bytes_per_second = 1 / line->slope;
  estimate.observations = from.observations;
  return estimate;
}

const std::optional<LinkModel::Line>& LinkModel::CurrentLine(const Link& link) {
  if (!link.line_is_current) {
    link.line = FitLine(link);
    link.line_is_current = true;
  }
  return link.line;
}

std::optional<LinkModel::Line> LinkModel::FitLine(const Link& link) {
  std::array<Point, kMostPoints> points;
  int count = 0;
  double bytes = 0;
  for (size_t size_class = 0; size_class < link.points.size(); ++size_class) {
    const int64_t kept = std::min<int64_t>(link.seen[size_class], kPointsPerSize);
    for (int64_t i = 0; i < kept; ++i) {
      const Point& point = link.points[size_class][static_cast<size_t>(i)];
      if (point.number <= link.observations - kMostAge) continue;
      bytes += point.bytes;
      points[static_cast<size_t>(count++)] = point;
    }
  }
  if (count < kFewestPoints) return std::nullopt;
  std::sort(points.begin(), points.begin() + count, [](const Point& a, const Point& b) {
    return a.bytes != b.bytes ? a.bytes < b.bytes : a.seconds < b.seconds;
  });
  if (points[static_cast<size_t>(count - 1)].bytes < 2 * std::max(1.0, points[0].bytes)) {
    return std::nullopt;
  }

  // The lower hull, left to right (Andrew's monotone chain), in place.
  size_t hull = 0;
  for (int i = 0; i < count; ++i) {
    const Point next = points[static_cast<size_t>(i)];
    if (hull > 0 && points[hull - 1].bytes == next.bytes) continue;  // the lower one is there
    const auto above = [&](const Point& a, const Point& b) {
      return (b.seconds - a.seconds) * (next.bytes - a.bytes) >=
             (next.seconds - a.seconds) * (b.bytes - a.bytes);
    };
    while (hull >= 2 && above(points[hull - 2], points[hull - 1])) --hull;
    points[hull++] = next;
  }

  const double mean = bytes / count;
  size_t right = 1;
  while (right + 1 < hull && points[right].bytes < mean) ++right;
  const Point& a = points[right - 1];
  const Point& b = points[right];
  const double slope = (b.seconds - a.seconds) / (b.bytes - a.bytes);
  if (slope <= 0) return std::nullopt;  // jitter hides what the bytes cost
  return Line{a.seconds - slope * a.bytes, slope};
}

}  // namespace sluice
