#include "policies/solver/knapsack.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "policies/solver/front.h"
#include "policies/solver/pareto_search.h"
#include "policies/solver/relaxation.h"

namespace sluice {
namespace {

constexpr int64_t kMostSum = int64_t{1} << 62;
/// States are numbered with 32 bits.
constexpr int64_t kMostStates = std::numeric_limits<int32_t>::max();
/// States per layer of the heuristic that runs when the proof was cut.
constexpr size_t kBeamWidth = 512;

absl::Status Validate(const KnapsackInstance& instance) {
  if (instance.budget < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("budget is ", instance.budget, ", expected 0 or more"));
  }
  int64_t sizes = 0, errors = 0;
  for (size_t l = 0; l < instance.layers.size(); ++l) {
    if (instance.layers[l].empty()) {
      return absl::InvalidArgumentError(absl::StrCat("layer ", l, ": no options"));
    }
    KnapsackOption most;
    for (size_t c = 0; c < instance.layers[l].size(); ++c) {
      const KnapsackOption& option = instance.layers[l][c];
      const bool bad_size = option.size < 0 || option.size >= kMostSum - sizes;
      if (bad_size || option.error < 0 || option.error >= kMostSum - errors) {
        return absl::InvalidArgumentError(absl::StrCat(
            "layer ", l, ", option ", c, ": ", bad_size ? "size " : "error ",
            bad_size ? option.size : option.error,
            ", expected 0 or more, and below 2^62 together with the largest of the layers before"));
      }
      most.size = std::max(most.size, option.size);
      most.error = std::max(most.error, option.error);
    }
    sizes += most.size;
    errors += most.error;
  }
  return absl::OkStatus();
}

/// Fills choice, size and error from positions in the fronts.
void Assign(const std::vector<Front>& fronts, const std::vector<int32_t>& positions,
            KnapsackSolution& solution) {
  solution.choice.resize(fronts.size());
  solution.size = solution.error = 0;
  for (size_t l = 0; l < fronts.size(); ++l) {
    const FrontOption& option = fronts[l][positions[l]];
    solution.choice[l] = option.index;
    solution.size += option.size;
    solution.error += option.error;
  }
}

void Assign(const SearchResult& found, KnapsackSolution& solution) {
  solution.choice.assign(found.choice.begin(), found.choice.end());
  solution.size = found.size;
  solution.error = found.error;
}

}  // namespace

double KnapsackSolution::gap() const {
  if (optimal || !feasible || static_cast<double>(size) <= lower_bound) return 0;
  if (lower_bound <= 0) return std::numeric_limits<double>::infinity();
  return (static_cast<double>(size) - lower_bound) / lower_bound;
}

absl::StatusOr<KnapsackSolution> SolveKnapsack(const KnapsackInstance& instance,
                                               const KnapsackLimits& limits) {
  SLUICE_RETURN_IF_ERROR(Validate(instance));
  std::vector<Front> fronts;
  fronts.reserve(instance.layers.size());
  std::vector<int32_t> least_error;
  int64_t most_error = 0;
  for (const auto& options : instance.layers) {
    fronts.push_back(UndominatedOptions(options));
    least_error.push_back(static_cast<int32_t>(fronts.back().size()) - 1);
    most_error += fronts.back()[0].error;
  }
  KnapsackSolution solution;
  Assign(fronts, least_error, solution);
  if (solution.error > instance.budget) return solution;
  solution.feasible = true;

  // More budget than anybody can use is no different, and keeps products small.
  const int64_t budget = std::min(instance.budget, most_error);
  const Relaxation relaxation(fronts, budget);
  solution.lower_bound = relaxation.value();
  Assign(fronts, relaxation.RoundDown(fronts), solution);

  // A quarter of the work is kept for the heuristic that follows a cut proof.
  const int64_t max_states = std::min<int64_t>(limits.max_states, kMostStates);
  int64_t work_left = max_states - max_states / 4;
  int64_t delta = relaxation.bound() / 100'000;
  for (;;) {
    SearchLimits search;
    search.budget = budget;
    search.threshold = relaxation.bound() + std::min(delta, solution.size - relaxation.bound());
    search.max_work = work_left;
    const std::vector<Front> filtered = relaxation.Filter(fronts, search.threshold);
    SearchResult found = ParetoSearch(filtered, LayerOrder::kLargestSpreadFirst, search);
    work_left -= found.work;
    if (!found.complete) break;
    if (found.found) {
      solution.optimal = true;
      Assign(found, solution);
      break;
    }
    SLUICE_CHECK(search.threshold < solution.size, "a known assignment was not found again");
    // Nothing at or below the threshold; the threshold itself survives the conversion to double.
    solution.lower_bound =
        std::max(solution.lower_bound, std::nextafter(static_cast<double>(search.threshold), 0.0));
    delta = delta > solution.size / 3 ? solution.size : std::max<int64_t>(1, delta * 3);
  }

  SearchLimits search;
  search.budget = budget;
  search.threshold = solution.size;
  search.max_work = max_states / 4;
  if (!solution.optimal) {
    search.max_width = kBeamWidth;
    SearchResult found = ParetoSearch(relaxation.Filter(fronts, search.threshold),
                                      LayerOrder::kLargestSpreadFirst, search);
    if (found.found) Assign(found, solution);
    return solution;
  }
  solution.lower_bound = relaxation.value();
  if (fronts.size() <= kCanonicalLayers) {
    search.budget = solution.error;
    SearchResult found = ParetoSearch(relaxation.Filter(fronts, search.threshold),
                                      LayerOrder::kLastLayerFirst, search);
    if (found.complete && found.found) Assign(found, solution);
  }
  return solution;
}

}  // namespace sluice
