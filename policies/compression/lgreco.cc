#include "policies/compression/lgreco.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "policies/compression/alpha_schedule.h"
#include "policies/compression/error_table.h"
#include "policies/compression/plan.h"
#include "policies/solver/knapsack.h"

namespace sluice {
namespace {

/// Errors become integers with the budget between 2^39 and 2^40.
constexpr int kBudgetBits = 40;
/// Sizes in 64ths of a byte: wire bytes are means over ranks.
constexpr double kSizeUnits = 64;
/// Far above any network, far below what overflows.
constexpr double kMostBytes = 1e15;

/// The integer problem, and the way back from its options to the window's.
struct Problem {
  KnapsackInstance instance;
  std::vector<int> layers;                // of the window
  std::vector<std::vector<int>> options;  // of that layer
};

Problem BuildProblem(const proto::WindowStatistics& window, const ErrorTable& errors,
                     const OptionIndices& uniform, double budget) {
  Problem problem;
  int exponent = 0;
  std::frexp(budget, &exponent);
  const int scale = kBudgetBits - exponent;
  for (int l = 0; l < window.layers_size(); ++l) {
    const proto::LayerStatistics& layer = window.layers(l);
    if (!layer.eligible()) continue;
    problem.layers.push_back(l);
    auto& list = problem.instance.layers.emplace_back();
    auto& origin = problem.options.emplace_back();
    for (int c = 0; c < layer.options_size(); ++c) {
      const double error = errors.error(l, c);
      const bool worse_than_silence = error > errors.silence(l) && c != uniform[l];
      if (error > budget || worse_than_silence) continue;  // an unknown error is above any budget
      list.push_back({std::llround(layer.options(c).wire_bytes() * kSizeUnits),
                      static_cast<int64_t>(std::ceil(std::ldexp(error, scale)))});
      origin.push_back(c);
    }
  }
  problem.instance.budget = static_cast<int64_t>(std::floor(std::ldexp(budget, scale)));
  return problem;
}

OptionIndices Translate(const Problem& problem, const KnapsackSolution& solution,
                        OptionIndices options) {
  for (size_t i = 0; i < problem.layers.size(); ++i) {
    options[problem.layers[i]] = problem.options[i][solution.choice[i]];
  }
  return options;
}

std::string Percent(double part, double whole) {
  return absl::StrFormat("%.0f %%", whole > 0 ? 100 * part / whole : 100);
}

std::string Reason(const LGrecoPolicy::Reference& reference, const proto::CompressionPolicy& plan,
                   double uniform_error, int unknown, const KnapsackSolution& solution) {
  std::string reason =
      absl::StrCat(reference.policy, ": ", Percent(plan.predicted_bytes(), plan.uniform_bytes()),
                   " of ", reference.name, "'s bytes at ",
                   uniform_error > 0 ? Percent(plan.error(), uniform_error) + " of its error"
                                     : std::string("no error"));
  if (unknown > 0) {
    absl::StrAppend(&reason, "; ", unknown,
                    unknown == 1 ? " layer has no finite error for the reference"
                                 : " layers have no finite error for the reference");
  }
  if (!solution.optimal) {
    absl::StrAppend(&reason,
                    absl::StrFormat("; proven within %.2g %% of the least", 100 * solution.gap()));
  }
  return reason;
}

}  // namespace

absl::StatusOr<proto::CompressionPolicy> LGrecoPolicy::Plan(const proto::WindowStatistics& window) {
  SLUICE_ASSIGN_OR_RETURN(OptionIndices uniform, UniformOptions(window, UniformCodec(config_)));
  return PlanAgainst(window, {std::move(uniform), "lgreco", "uniform"});
}

absl::StatusOr<proto::CompressionPolicy> LGrecoPolicy::PlanAgainst(
    const proto::WindowStatistics& window, const Reference& reference) {
  SLUICE_ASSIGN_OR_RETURN(const OptionIndices raw, RawOptions(window));
  const OptionIndices& uniform = reference.options;
  const ErrorTable errors(window, config_.metric());
  int eligible = 0, unknown = 0;
  bool silent = true;
  for (int l = 0; l < window.layers_size(); ++l) {
    const proto::LayerStatistics& layer = window.layers(l);
    if (!layer.eligible()) continue;
    ++eligible;
    unknown += std::isinf(errors.error(l, uniform[l]));
    silent = silent && layer.squared_norm() == 0;
    for (const proto::OptionStatistics& option : layer.options()) {
      if (option.wire_bytes() <= kMostBytes) continue;
      return absl::InvalidArgumentError(absl::StrCat("statistics of window ", window.window(),
                                                     ": layer ", layer.name(), " has an option of ",
                                                     option.wire_bytes(), " wire bytes"));
    }
  }
  const double uniform_error = errors.Sum(uniform);
  const double budget = AlphaOf(config_, window) * uniform_error;
  const double uniform_bytes = PlanBytes(window, uniform);

  auto uniform_plan = [&](const std::string& why) {
    proto::CompressionPolicy plan = MakePlan(
        window, uniform, absl::StrCat(reference.policy, ": the ", reference.name, " plan, ", why));
    plan.set_uniform_bytes(uniform_bytes);
    plan.set_error(uniform_error);
    plan.set_budget(budget);
    return plan;
  };
  if (eligible == 0) return uniform_plan("because no layer may be compressed: all are raw");
  if (unknown == eligible) {
    return uniform_plan("because no layer has a finite error for the reference");
  }
  if (silent) return uniform_plan("because every gradient of the window is zero");
  if (!std::isfinite(budget)) return uniform_plan("because the errors add up to infinity");

  // Rounding up adds less than one unit per layer, so with that much more budget every assignment
  // within it is still there, the uniform one included, and the solver's bound holds for all of
  // them. What comes back may use the extra; only then solve again without.
  Problem problem = BuildProblem(window, errors, uniform, budget);
  const int64_t strict_budget = problem.instance.budget;
  problem.instance.budget += static_cast<int64_t>(problem.layers.size());
  SLUICE_ASSIGN_OR_RETURN(const KnapsackSolution wide, SolveKnapsack(problem.instance));
  KnapsackSolution solution = wide;
  OptionIndices options = Translate(problem, solution, raw);
  if (errors.Sum(options) > budget) {
    problem.instance.budget = strict_budget;
    SLUICE_ASSIGN_OR_RETURN(solution, SolveKnapsack(problem.instance));
    options = Translate(problem, solution, raw);
    // Within the budget but for the last bit of a floating-point sum.
    if (errors.Sum(options) > budget) options = raw;
  }

  // Bytes of raw layers and rounding of sizes: half a unit per layer.
  const double other_bytes = [&] {
    double bytes = window.fixed_wire_bytes();
    for (int l = 0; l < window.layers_size(); ++l) {
      if (!window.layers(l).eligible()) bytes += window.layers(l).options(raw[l]).wire_bytes();
    }
    return bytes;
  }();
  const double bound = wide.optimal ? static_cast<double>(wide.size) : wide.lower_bound;
  const double lower_bound_bytes = other_bytes + (bound - 0.5 * eligible) / kSizeUnits;

  const bool uniform_fits = uniform_error <= budget;
  proto::CompressionPolicy plan;
  if (uniform_fits && PlanBytes(window, options) > uniform_bytes) {
    plan = uniform_plan(unknown > 0 ? "because layers without a finite error would be sent raw"
                                    : "because no other within the budget is smaller");
  } else {
    plan = MakePlan(window, options, "");
    plan.set_uniform_bytes(uniform_bytes);
    plan.set_error(errors.Sum(options));
    plan.set_budget(budget);
    plan.set_reason(Reason(reference, plan, uniform_error, unknown, solution));
  }
  plan.set_lower_bound_bytes(std::max(0.0, std::min(plan.predicted_bytes(), lower_bound_bytes)));
  return plan;
}

bool LGrecoPolicy::Keeps(const proto::WindowStatistics& window,
                         const proto::CompressionPolicy& current,
                         const proto::CompressionPolicy& fresh) const {
  const std::optional<OptionIndices> options = OptionsOf(window, current);
  if (!options || fresh.budget() <= 0) return false;
  const ErrorTable errors(window, config_.metric());
  for (int l = 0; l < window.layers_size(); ++l) {
    if (std::isinf(errors.error(l, (*options)[l]))) return false;
  }
  const double bytes = PlanBytes(window, *options);
  return errors.Sum(*options) <= fresh.budget() &&
         bytes - fresh.predicted_bytes() <= config_.hysteresis() * bytes;
}

}  // namespace sluice
