#include "training/phases/otov3/partition.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace sluice::otov3 {
namespace {

constexpr double kMostOfAll = 0.999;

// Numbers of all groups, the most redundant first.
absl::StatusOr<std::vector<size_t>> ByRedundancy(absl::Span<const double> scores,
                                                 const std::vector<bool>& forced) {
  for (size_t g = 0; g < scores.size(); ++g) {
    if (std::isfinite(scores[g])) continue;
    return absl::OutOfRangeError(absl::StrCat("the score of a group is ", scores[g],
                                              "; training diverged: lower its learning rate"));
  }
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    const bool first = !forced.empty() && forced[a], second = !forced.empty() && forced[b];
    return first != second ? first : scores[a] > scores[b];
  });
  return order;
}

int RoundUp(int count, int divisor) { return (count + divisor - 1) / divisor * divisor; }

// The most units of a class that may go, so that what stays is a multiple of the divisor.
int MostRemoved(int units, const PartitionRules& rules) {
  const int allowed = static_cast<int>(std::floor(units * rules.max_removed));
  const int kept = RoundUp(std::max(units - allowed, 1), rules.divisor);
  return std::max(units - kept, 0);
}

// \param selected  units of the class that are to go, at least `forced`
int RoundedRemoved(int units, int selected, int forced, int divisor) {
  if (selected == 0) return 0;
  const int kept = (units - selected + divisor / 2) / divisor * divisor;
  if (kept <= units - forced) return units - std::max(kept, divisor);
  if (forced == 0) return 0;
  return units - std::max((units - selected) / divisor * divisor, divisor);
}

}  // namespace

int RequestedGroups(int groups, double target) {
  constexpr double kRounding = 1e-9;  // of the product: 50 * 0.58 is 29
  return static_cast<int>(std::floor(groups * std::min(target, kMostOfAll) + kRounding));
}

absl::StatusOr<std::vector<bool>> Partition(absl::Span<const double> scores,
                                            absl::Span<const ClassRange> classes,
                                            const PartitionRules& rules,
                                            const std::vector<bool>& forced) {
  SLUICE_CHECK(rules.divisor >= 1 && (forced.empty() || forced.size() == scores.size()),
               "the settings were checked");
  SLUICE_ASSIGN_OR_RETURN(const std::vector<size_t> order, ByRedundancy(scores, forced));
  std::vector<size_t> class_of(scores.size());
  std::vector<int> room, selected(classes.size(), 0), forced_units(classes.size(), 0);
  for (size_t c = 0; c < classes.size(); ++c) {
    room.push_back(MostRemoved(classes[c].units, rules));
    for (int i = 0; i < classes[c].units; ++i) {
      const auto g = static_cast<size_t>(classes[c].first + i);
      class_of[g] = c;
      forced_units[c] += !forced.empty() && forced[g] ? 1 : 0;
    }
  }
  int left = RequestedGroups(static_cast<int>(scores.size()), rules.target);
  for (size_t g : order) {
    const size_t c = class_of[g];
    if (left == 0 || selected[c] == room[c]) continue;
    ++selected[c];
    --left;
  }
  for (size_t c = 0; c < classes.size(); ++c) {
    selected[c] = RoundedRemoved(classes[c].units, std::max(selected[c], forced_units[c]),
                                 forced_units[c], rules.divisor);
  }
  std::vector<bool> removed(scores.size(), false);
  for (size_t g : order) {
    int& of_class = selected[class_of[g]];
    if (of_class == 0) continue;
    removed[g] = true;
    --of_class;
  }
  return removed;
}

absl::StatusOr<std::vector<bool>> SelectValid(
    absl::Span<const double> scores, int most, const std::vector<bool>& forced,
    const std::function<bool(const std::vector<bool>& removed)>& valid) {
  SLUICE_CHECK(forced.empty() || forced.size() == scores.size(), "a bit for every group");
  SLUICE_ASSIGN_OR_RETURN(const std::vector<size_t> order, ByRedundancy(scores, {}));
  std::vector<bool> removed = forced;
  removed.resize(scores.size(), false);
  auto accepted = std::count(removed.begin(), removed.end(), true);
  for (size_t g : order) {
    if (accepted >= most) break;
    if (removed[g]) continue;
    removed[g] = true;
    removed[g] = valid(removed);
    accepted += removed[g] ? 1 : 0;
  }
  return removed;
}

}  // namespace sluice::otov3
