#include "policies/compression/lgreco_time.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "policies/compression/alpha_schedule.h"
#include "policies/compression/error_table.h"
#include "policies/compression/exposed_time.h"
#include "policies/compression/lgreco.h"
#include "policies/compression/plan.h"
#include "policies/solver/knapsack.h"

namespace sluice {
namespace {

/// Errors become integers with the budget between 2^39 and 2^40, seconds become nanoseconds.
constexpr int kBudgetBits = 40;
constexpr double kNanoseconds = 1e9;
/// A layer that takes longer is no plan's.
constexpr double kMostSeconds = 1e6;
/// Starts of the critical suffix that are tried, at most.
constexpr int kMostStarts = 12;
constexpr int kMostRelaxations = 8;

// Less time, then less error; times that differ by less than a nanosecond are equal.
struct Candidate {
  OptionIndices options;
  double exposed = std::numeric_limits<double>::infinity();
  double error = std::numeric_limits<double>::infinity();

  bool BetterThan(const Candidate& other) const {
    if (std::abs(exposed - other.exposed) > 1 / kNanoseconds) return exposed < other.exposed;
    return error < other.error;
  }
};

class TimePlanner {
 public:
  TimePlanner(const proto::WindowStatistics& window, const ErrorTable& errors,
              const OptionIndices& raw, const OptionIndices& uniform, double budget)
      : window_(window), errors_(errors), raw_(raw), uniform_(uniform), budget_(budget) {}

  void Try(const OptionIndices& options) {
    Candidate candidate{options, PredictExposed(window_, options).exposed_seconds,
                        errors_.Sum(options)};
    if (candidate.error > budget_) return;
    if (candidate.BetterThan(best_)) best_ = std::move(candidate);
  }

  // The least seconds of the layers in buckets from `start` on.
  absl::Status TrySuffix(int start) {
    int exponent = 0;
    std::frexp(budget_, &exponent);
    const int scale = kBudgetBits - exponent;
    KnapsackInstance instance;
    instance.budget = static_cast<int64_t>(std::floor(std::ldexp(budget_, scale)));
    std::vector<int> layers;
    std::vector<std::vector<int>> origins;
    for (int l = 0; l < window_.layers_size(); ++l) {
      const proto::LayerStatistics& layer = window_.layers(l);
      if (!layer.eligible() || layer.bucket() < start) continue;
      layers.push_back(l);
      auto& list = instance.layers.emplace_back();
      auto& origin = origins.emplace_back();
      for (int c = 0; c < layer.options_size(); ++c) {
        if (!Usable(l, c)) continue;
        const double seconds = OptionSeconds(window_, layer.options(c));
        list.push_back({std::llround(seconds * kNanoseconds),
                        static_cast<int64_t>(std::ceil(std::ldexp(errors_.error(l, c), scale)))});
        origin.push_back(c);
      }
    }
    if (layers.empty()) return absl::OkStatus();
    SLUICE_ASSIGN_OR_RETURN(const KnapsackSolution solution, SolveKnapsack(instance));
    if (!solution.feasible) return absl::OkStatus();
    OptionIndices options = raw_;
    for (size_t i = 0; i < layers.size(); ++i) {
      options[layers[i]] = origins[i][static_cast<size_t>(solution.choice[i])];
    }
    Try(options);
    return absl::OkStatus();
  }

  // Spends time that costs nothing on less error.
  void Relax() {
    for (int round = 0; round < kMostRelaxations; ++round) {
      std::vector<Change> changes = Improvements();
      std::sort(changes.begin(), changes.end(), [](const Change& a, const Change& b) {
        if (a.error_per_second != b.error_per_second) {
          return a.error_per_second > b.error_per_second;
        }
        return std::pair(a.layer, a.option) < std::pair(b.layer, b.option);
      });
      std::vector<bool> changed(static_cast<size_t>(window_.layers_size()));
      std::vector<double> slack = Slack();
      bool any = false;
      for (const Change& change : changes) {
        if (changed[static_cast<size_t>(change.layer)]) continue;
        const int bucket = window_.layers(change.layer).bucket();
        if (change.seconds > slack[static_cast<size_t>(bucket)]) continue;
        const int before = std::exchange(best_.options[change.layer], change.option);
        const double error = errors_.Sum(best_.options);
        const double exposed = PredictExposed(window_, best_.options).exposed_seconds;
        if (exposed > best_.exposed + 0.5 / kNanoseconds) {  // a low-rank layer's further steps
          best_.options[change.layer] = before;
          continue;
        }
        best_.error = error;
        changed[static_cast<size_t>(change.layer)] = true;
        any = true;
        slack = Slack();
      }
      if (!any) return;
    }
  }

  const Candidate& best() const { return best_; }

 private:
  struct Change {
    int layer;
    int option;
    double seconds;
    double error_per_second;
  };

  bool Usable(int layer, int option) const {
    const double error = errors_.error(layer, option);
    if (error > budget_) return false;  // an unknown error is above any budget
    if (error > errors_.silence(layer) && option != uniform_[layer]) return false;
    return OptionSeconds(window_, window_.layers(layer).options(option)) <= kMostSeconds;
  }

  std::vector<Change> Improvements() const {
    std::vector<Change> changes;
    for (int l = 0; l < window_.layers_size(); ++l) {
      const proto::LayerStatistics& layer = window_.layers(l);
      if (!layer.eligible()) continue;
      const double error = errors_.error(l, best_.options[l]);
      const double seconds = OptionSeconds(window_, layer.options(best_.options[l]));
      for (int c = 0; c < layer.options_size(); ++c) {
        if (!Usable(l, c) || !(errors_.error(l, c) < error)) continue;
        const double more = OptionSeconds(window_, layer.options(c)) - seconds;
        const double per_second = more > 0 ? (error - errors_.error(l, c)) / more
                                           : std::numeric_limits<double>::infinity();
        changes.push_back({l, c, more, per_second});
      }
    }
    return changes;
  }

  // By bucket: the longest time that it may take more without a later end than now, or than
  // backward's.
  std::vector<double> Slack() const {
    const proto::TimeStatistics& times = window_.times();
    const int buckets = times.ready_seconds_size();
    const PlanLoad load = LoadOf(window_, best_.options);
    const double end =
        times.backward_seconds() + best_.exposed - load.steps * times.latency_seconds();
    // A bucket is part of every sum that starts at it or before.
    std::vector<double> slack(static_cast<size_t>(buckets));
    double sum = 0;
    for (int b = buckets - 1; b >= 0; --b) {
      sum += load.bucket_seconds[static_cast<size_t>(b)];
      slack[static_cast<size_t>(b)] = end - times.ready_seconds(b) - sum;
    }
    for (int b = 1; b < buckets; ++b) {
      slack[static_cast<size_t>(b)] =
          std::min(slack[static_cast<size_t>(b)], slack[static_cast<size_t>(b - 1)]);
    }
    return slack;
  }

  const proto::WindowStatistics& window_;
  const ErrorTable& errors_;
  const OptionIndices& raw_;
  const OptionIndices& uniform_;
  const double budget_;
  Candidate best_;
};

std::string Milliseconds(double seconds) { return absl::StrFormat("%.1f ms", 1e3 * seconds); }

}  // namespace

absl::StatusOr<proto::CompressionPolicy> LGrecoTimePolicy::Plan(
    const proto::WindowStatistics& window) {
  SLUICE_ASSIGN_OR_RETURN(proto::CompressionPolicy lgreco, LGrecoPolicy(config_).Plan(window));
  if (!KnowsTimes(window)) {
    lgreco.set_reason(absl::StrCat("lgreco_time: no times are known yet; ", lgreco.reason()));
    return lgreco;
  }
  SLUICE_ASSIGN_OR_RETURN(const OptionIndices raw, RawOptions(window));
  SLUICE_ASSIGN_OR_RETURN(const OptionIndices uniform,
                          UniformOptions(window, UniformCodec(config_)));
  const ErrorTable errors(window, config_.metric());
  const double uniform_error = errors.Sum(uniform);
  const double budget = AlphaOf(config_, window) * uniform_error;
  const double backward = window.times().backward_seconds();
  const double raw_exposed = PredictExposed(window, raw).exposed_seconds;

  const auto finish = [&](const OptionIndices& options, std::string reason) {
    proto::CompressionPolicy plan = MakePlan(window, options, std::move(reason));
    plan.set_uniform_bytes(PlanBytes(window, uniform));
    plan.set_error(errors.Sum(options));
    plan.set_budget(budget);
    plan.set_exposed_seconds(PredictExposed(window, options).exposed_seconds);
    plan.set_raw_exposed_seconds(raw_exposed);
    return plan;
  };
  if (!std::isfinite(budget) || budget <= 0) {
    lgreco.set_reason(
        absl::StrCat("lgreco_time: the reference's errors give no budget; ", lgreco.reason()));
    return lgreco;
  }

  TimePlanner planner(window, errors, raw, uniform, budget);
  planner.Try(raw);
  // A layer without a finite error for the reference has no known error under it.
  const auto known = [&] {
    for (int l = 0; l < window.layers_size(); ++l) {
      if (std::isinf(errors.error(l, uniform[l]))) return false;
    }
    return true;
  };
  if (known()) planner.Try(uniform);
  const std::optional<OptionIndices> planned = OptionsOf(window, lgreco);
  if (planned && known()) planner.Try(*planned);
  const int buckets = window.times().ready_seconds_size();
  const int stride = std::max(1, (buckets + kMostStarts - 1) / kMostStarts);
  for (int start = 0; start < buckets; start += stride) {
    SLUICE_RETURN_IF_ERROR(planner.TrySuffix(start));
  }
  planner.Relax();

  const Candidate& best = planner.best();
  const double step = backward + raw_exposed;
  if (raw_exposed - best.exposed <= kLeastSaving * step) {
    return finish(raw,
                  absl::StrCat("lgreco_time: compression off: the link is not the bottleneck, ",
                               Milliseconds(raw_exposed), " exposed of ", Milliseconds(step)));
  }
  proto::CompressionPolicy plan = finish(best.options, "");
  plan.set_reason(absl::StrFormat(
      "lgreco_time: %s exposed instead of %s raw, at %.0f %% of uniform's error and %.0f %% of its "
      "bytes",
      Milliseconds(best.exposed), Milliseconds(raw_exposed), 100 * best.error / uniform_error,
      100 * plan.predicted_bytes() / plan.uniform_bytes()));
  return plan;
}

bool LGrecoTimePolicy::Keeps(const proto::WindowStatistics& window,
                             const proto::CompressionPolicy& current,
                             const proto::CompressionPolicy& fresh) const {
  if (!fresh.has_exposed_seconds()) return LGrecoPolicy(config_).Keeps(window, current, fresh);
  const std::optional<OptionIndices> options = OptionsOf(window, current);
  if (!options) return false;
  const double error = ErrorTable(window, config_.metric()).Sum(*options);
  const double exposed = PredictExposed(window, *options).exposed_seconds;
  const double step = window.times().backward_seconds() + fresh.exposed_seconds();
  // As fast with far less error is worth a change too.
  return error <= fresh.budget() &&
         exposed <= fresh.exposed_seconds() + config_.hysteresis() * step &&
         error <= fresh.error() + 0.25 * fresh.budget();
}

}  // namespace sluice
