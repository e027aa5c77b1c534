#include "comm/reducer/profiler_shards.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace sluice {
namespace {

// Passes over a matrix, in units of the one that computes a norm (tools/bench/profile_bench).
constexpr double kMatrixPasses = 16;

double ProfilingCost(const TensorInfo& tensor) {
  const bool matrix = tensor.rows > 1 && tensor.rows < tensor.elements;
  return static_cast<double>(tensor.elements) * (matrix ? kMatrixPasses : 1);
}

}  // namespace

std::vector<int> ShardByCost(absl::Span<const double> costs, int shards) {
  SLUICE_CHECK(shards >= 1, "somebody does the work");
  std::vector<size_t> order(costs.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return costs[a] > costs[b]; });
  std::vector<double> loads(static_cast<size_t>(shards));
  std::vector<int> owners(costs.size());
  for (size_t job : order) {
    const auto least = std::min_element(loads.begin(), loads.end());
    *least += costs[job];
    owners[job] = static_cast<int>(least - loads.begin());
  }
  return owners;
}

std::vector<int> ProfilerShards(const BucketLayout& layout, int profilers) {
  std::vector<double> costs;
  for (const TensorInfo& tensor : layout.tensors()) costs.push_back(ProfilingCost(tensor));
  return ShardByCost(costs, profilers);
}

}  // namespace sluice
