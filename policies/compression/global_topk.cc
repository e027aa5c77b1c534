#include "policies/compression/global_topk.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "policies/compression/error_table.h"
#include "policies/compression/plan.h"

namespace sluice {
namespace {

struct Point {
  int option;
  double bytes;
  double error;
};

/// From one point of a layer's hull to the next: more bytes, less error.
struct Edge {
  int layer;
  int option;  // where it leads
  double bytes;
  double saved;

  bool SteeperThan(const Edge& other) const { return saved * other.bytes > other.saved * bytes; }
};

// What `to` saves per byte, seen from `from`, against `next`.
bool Below(const Point& from, const Point& to, const Point& next) {
  return (from.error - to.error) * (next.bytes - from.bytes) >
         (from.error - next.error) * (to.bytes - from.bytes);
}

// The lower convex hull of a layer's top-k options with a finite error, fewest bytes first.
std::vector<Point> Hull(const proto::LayerStatistics& layer, const ErrorTable& errors, int l) {
  std::vector<Point> points;
  for (int c = 0; c < layer.options_size(); ++c) {
    const bool sparse = layer.options(c).codec().kind() == proto::CODEC_TOP_K;
    if (!sparse || !std::isfinite(errors.error(l, c))) continue;
    points.push_back({c, layer.options(c).wire_bytes(), errors.error(l, c)});
  }
  std::stable_sort(points.begin(), points.end(), [](const Point& a, const Point& b) {
    return a.bytes != b.bytes ? a.bytes < b.bytes : a.error < b.error;
  });
  std::vector<Point> hull;
  for (const Point& point : points) {
    if (!hull.empty() && point.error >= hull.back().error) continue;
    while (hull.size() >= 2 && !Below(hull[hull.size() - 2], hull.back(), point)) hull.pop_back();
    hull.push_back(point);
  }
  return hull;
}

}  // namespace

absl::StatusOr<proto::CompressionPolicy> GlobalTopKPolicy::Plan(
    const proto::WindowStatistics& window) {
  SLUICE_ASSIGN_OR_RETURN(const OptionIndices uniform, UniformOptions(window, reference_));
  const ErrorTable errors(window, "l2sq");
  OptionIndices options = uniform;
  std::vector<Edge> edges;
  for (int l = 0; l < window.layers_size(); ++l) {
    const proto::LayerStatistics& layer = window.layers(l);
    if (!layer.eligible() || !std::isfinite(errors.error(l, uniform[l]))) continue;
    const std::vector<Point> hull = Hull(layer, errors, l);
    if (hull.empty()) continue;  // a reference of another kind
    options[l] = hull.front().option;
    for (size_t i = 1; i < hull.size(); ++i) {
      edges.push_back({l, hull[i].option, hull[i].bytes - hull[i - 1].bytes,
                       hull[i - 1].error - hull[i].error});
    }
  }
  std::stable_sort(edges.begin(), edges.end(),
                   [](const Edge& a, const Edge& b) { return a.SteeperThan(b); });
  // Edges of one layer are sorted already, and by slope still come in their order.
  const double uniform_bytes = PlanBytes(window, uniform);
  double bytes = PlanBytes(window, options);
  std::vector<bool> ended(window.layers_size(), false);
  double threshold = 0;
  for (const Edge& edge : edges) {
    if (ended[edge.layer]) continue;
    if (bytes + edge.bytes > uniform_bytes) {
      ended[edge.layer] = true;
      continue;
    }
    bytes += edge.bytes;
    options[edge.layer] = edge.option;
    threshold = edge.saved / edge.bytes;
  }

  const double error = errors.Sum(options), uniform_error = errors.Sum(uniform);
  std::string reason = absl::StrFormat(
      "global_topk: %.0f %% of uniform's squared error at its bytes, down to %.3g per byte",
      uniform_error > 0 ? 100 * error / uniform_error : 100, threshold);
  // Sums in another order may differ in their last bits.
  if (PlanBytes(window, options) > uniform_bytes || !(error <= uniform_error)) {
    options = uniform;
    reason = "global_topk: the uniform plan, because no other of its bytes has less squared error";
  }
  proto::CompressionPolicy plan = MakePlan(window, options, std::move(reason));
  plan.set_uniform_bytes(uniform_bytes);
  return plan;
}

absl::Status CheckGlobalTopK(const proto::Compression& config) {
  if (config.uniform_codec() != "topk") {
    return absl::InvalidArgumentError(
        absl::StrCat("compression.policy global_topk needs a reference of top-k, but "
                     "compression.uniform_codec is ",
                     config.uniform_codec(), ": set it to topk"));
  }
  const auto& families = config.candidate_families();
  if (std::find(families.begin(), families.end(), "topk") == families.end()) {
    return absl::InvalidArgumentError(
        "compression.policy global_topk chooses among densities of top-k, but "
        "compression.candidate_families lacks topk: add it");
  }
  return absl::OkStatus();
}

}  // namespace sluice
