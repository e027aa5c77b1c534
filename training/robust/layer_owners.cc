#include "training/robust/layer_owners.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace sluice {
namespace {

double Work(const WeightMatrix& layer) {
  const auto r = static_cast<double>(layer.rank_limit());
  const auto side = static_cast<double>(std::max(layer.group_rows(), layer.cols));
  return static_cast<double>(layer.groups) * r * r * (side + r / 3);
}

}  // namespace

std::vector<int> LayerOwners(absl::Span<const WeightMatrix> layers, int world_size) {
  std::vector<size_t> order(layers.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return Work(layers[a]) > Work(layers[b]); });
  std::vector<int> owners(layers.size());
  for (size_t i = 0; i < order.size(); ++i) {
    owners[order[i]] = static_cast<int>(i % static_cast<size_t>(world_size));
  }
  return owners;
}

}  // namespace sluice
