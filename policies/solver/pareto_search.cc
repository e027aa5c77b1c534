#include "policies/solver/pareto_search.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "policies/solver/suffix_bound.h"

namespace sluice {
namespace {

struct State {
  int64_t size = 0;
  int64_t error = 0;
  int32_t parent = 0;  // place among the previous layer's states
  int32_t option = 0;  // index as given
};

/// What the way back needs of a state.
struct Trace {
  int32_t parent = 0;
  int32_t option = 0;
};

/// Layers that hold a decision, in the order of the search.
std::vector<int32_t> Order(const std::vector<Front>& fronts, LayerOrder order) {
  std::vector<int32_t> layers;
  for (int32_t layer = static_cast<int32_t>(fronts.size()) - 1; layer >= 0; --layer) {
    if (fronts[layer].size() > 1) layers.push_back(layer);
  }
  if (order == LayerOrder::kLargestSpreadFirst) {
    std::stable_sort(layers.begin(), layers.end(), [&](int32_t a, int32_t b) {
      return fronts[a].back().size - fronts[a][0].size > fronts[b].back().size - fronts[b][0].size;
    });
  }
  return layers;
}

/// Merges two lists sorted by size into `out`, without dominated states. Equal states come from
/// different options: the lower option stays, which makes kLastLayerFirst lexicographic.
void Merge(const std::vector<State>& a, const std::vector<State>& b, std::vector<State>& out) {
  out.clear();
  size_t i = 0, j = 0;
  while (i < a.size() || j < b.size()) {
    const bool first =
        j == b.size() || (i < a.size() && std::tie(a[i].size, a[i].error, a[i].option) <
                                              std::tie(b[j].size, b[j].error, b[j].option));
    const State& state = first ? a[i++] : b[j++];
    if (out.empty() || state.error < out.back().error) out.push_back(state);
  }
}

/// Keeps the `width` states of least bound, in their order.
void Narrow(size_t width, int64_t budget, SuffixBound& rest, std::vector<State>& states) {
  std::vector<std::pair<int64_t, size_t>> ranked;
  for (size_t i = 0; i < states.size(); ++i) {
    const int64_t slack = budget - rest.base_error() - states[i].error;
    ranked.push_back({states[i].size + rest.Bound(slack), i});
  }
  std::nth_element(ranked.begin(), ranked.begin() + width, ranked.end());
  ranked.resize(width);
  std::sort(ranked.begin(), ranked.end(),
            [](const auto& a, const auto& b) { return a.second < b.second; });
  for (size_t i = 0; i < width; ++i) states[i] = states[ranked[i].second];
  states.resize(width);
}

}  // namespace

SearchResult ParetoSearch(const std::vector<Front>& fronts, LayerOrder order,
                          const SearchLimits& limits) {
  SearchResult result;
  result.complete = true;
  SuffixBound rest(fronts);
  State start;
  for (size_t layer = 0; layer < fronts.size(); ++layer) {
    if (fronts[layer].size() > 1) continue;
    start.size += fronts[layer][0].size;
    start.error += fronts[layer][0].error;
    rest.Remove(static_cast<int32_t>(layer));
  }
  const std::vector<int32_t> layers = Order(fronts, order);
  std::vector<std::vector<Trace>> traces(layers.size());
  std::vector<State> states, next, grown, merged;
  if (start.size <= limits.threshold && start.error <= limits.budget) states.push_back(start);

  for (size_t depth = 0; depth < layers.size() && !states.empty(); ++depth) {
    const Front& front = fronts[layers[depth]];
    rest.Remove(layers[depth]);
    next.clear();
    for (const FrontOption& option : front) {
      grown.clear();
      for (size_t i = 0; i < states.size(); ++i) {
        const int64_t size = states[i].size + option.size;
        const int64_t error = states[i].error + option.error;
        const int64_t slack = limits.budget - rest.base_error() - error;
        if (slack < 0) continue;
        if (size > limits.threshold) break;
        if (rest.MayFit(limits.threshold - size, slack)) {
          grown.push_back({size, error, static_cast<int32_t>(i), option.index});
        }
      }
      result.work += static_cast<int64_t>(states.size());
      if (result.work + rest.walked() > limits.max_work) {
        result.complete = false;
        result.work += rest.walked();
        return result;
      }
      if (grown.empty()) continue;
      Merge(next, grown, merged);
      next.swap(merged);
    }
    if (next.size() > limits.max_width) {
      Narrow(limits.max_width, limits.budget, rest, next);
      result.complete = false;
    }
    traces[depth].reserve(next.size());
    for (const State& state : next) traces[depth].push_back({state.parent, state.option});
    states.swap(next);
  }
  result.work += rest.walked();
  if (states.empty()) return result;

  // Sorted by size without dominated states: the first one is the least size with its least error.
  result.found = true;
  result.size = states[0].size;
  result.error = states[0].error;
  result.choice.resize(fronts.size());
  for (size_t layer = 0; layer < fronts.size(); ++layer) {
    result.choice[layer] = fronts[layer][0].index;
  }
  int32_t at = 0;
  for (size_t depth = layers.size(); depth-- > 0;) {
    result.choice[layers[depth]] = traces[depth][at].option;
    at = traces[depth][at].parent;
  }
  return result;
}

}  // namespace sluice
