#include "policies/offline/plan_report.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "policies/compression/alpha_schedule.h"
#include "policies/compression/codec_name.h"
#include "policies/compression/compression_policy.h"
#include "policies/compression/error_table.h"
#include "policies/compression/plan.h"

namespace sluice {
namespace {

std::string WhyIneligible(const proto::Compression& config, const proto::LayerStatistics& layer) {
  if (layer.shape_size() == 1) return "ineligible: one dimension";
  if (layer.elements() < config.min_elements()) {
    return absl::StrCat("ineligible: fewer than ", config.min_elements(), " elements");
  }
  if (config.uniform_codec() == "lowrank" && layer.shape_size() > 1) {
    return absl::StrCat("ineligible: factors of rank ", config.uniform_rank(),
                        " have more than half of its elements");
  }
  return "ineligible: always raw";
}

/// The neighbours of an option among those that a planner may take: errors known and no worse than
/// silence.
class Neighbours {
 public:
  Neighbours(const proto::LayerStatistics& layer, const ErrorTable& errors, int l, int chosen) {
    const double bytes = layer.options(chosen).wire_bytes(), error = errors.error(l, chosen);
    for (int c = 0; c < layer.options_size(); ++c) {
      const double other = errors.error(l, c), size = layer.options(c).wire_bytes();
      if (!std::isfinite(other) || other > errors.silence(l)) continue;
      if (size < bytes && (cheaper < 0 || Before(other, size, errors.error(l, cheaper),
                                                 layer.options(cheaper).wire_bytes()))) {
        cheaper = c;
      }
      if (other < error && (finer < 0 || Before(size, other, layer.options(finer).wire_bytes(),
                                                errors.error(l, finer)))) {
        finer = c;
      }
    }
  }

  int cheaper = -1;  ///< of those with fewer bytes the one with the least error
  int finer = -1;    ///< of those with less error the one with the fewest bytes

 private:
  static bool Before(double a, double then_a, double b, double then_b) {
    return a < b || (a == b && then_a < then_b);
  }
};

std::string Why(const proto::LayerStatistics& layer, const ErrorTable& errors, int l, int chosen,
                const std::optional<double>& budget_left) {
  const Neighbours next(layer, errors, l, chosen);
  const double bytes = layer.options(chosen).wire_bytes(), error = errors.error(l, chosen);
  std::string why;
  if (next.cheaper < 0) {
    why = "nothing cheaper loses less than sending nothing";
  } else {
    const double more = errors.error(l, next.cheaper) - error;
    why = absl::StrFormat("cheaper: %s saves %.0f B, ",
                          CodecName(layer.options(next.cheaper).codec()),
                          bytes - layer.options(next.cheaper).wire_bytes());
    absl::StrAppend(&why, more > 0 ? absl::StrFormat("adds %.3g of error", more)
                                   : std::string("adds no error"));
    if (budget_left) {
      absl::StrAppend(&why, more <= *budget_left
                                ? absl::StrFormat(", and the budget has %.3g left", *budget_left)
                                : absl::StrFormat(", but the budget has %.3g left", *budget_left));
    }
  }
  if (error == 0) return why + "; nothing is lost";
  if (next.finer < 0) return why + "; nothing is finer";
  return absl::StrCat(why, absl::StrFormat("; finer: %s removes %.3g of error for %.0f B more",
                                           CodecName(layer.options(next.finer).codec()),
                                           error - errors.error(l, next.finer),
                                           layer.options(next.finer).wire_bytes() - bytes));
}

}  // namespace

absl::StatusOr<PlanReport> ReportPlan(const proto::Compression& config,
                                      const proto::WindowStatistics& window,
                                      const proto::CompressionPolicy& plan) {
  SLUICE_ASSIGN_OR_RETURN(const OptionIndices raw, RawOptions(window));
  const std::optional<OptionIndices> options = OptionsOf(window, plan);
  if (!options) {
    return absl::FailedPreconditionError(
        absl::StrCat("the plan is not of the layers of window ", window.window(),
                     ", or chooses codecs that were not measured there"));
  }
  const ErrorTable errors(window, config.metric());
  PlanReport report;
  report.bytes = PlanBytes(window, *options);
  report.raw_bytes = PlanBytes(window, raw);
  report.error = errors.Sum(*options);
  if (plan.budget() > 0) report.budget = plan.budget();
  const bool timed = window.has_times() && KnowsTimes(window);
  if (timed) report.time = PredictExposed(window, *options);
  if (timed) report.raw_time = PredictExposed(window, raw);
  if (const auto uniform = UniformOptions(window, UniformCodec(config)); uniform.ok()) {
    report.uniform_bytes = PlanBytes(window, *uniform);
    if (!report.budget) report.budget = AlphaOf(config, window) * errors.Sum(*uniform);
    if (timed) report.uniform_time = PredictExposed(window, *uniform);
  }
  std::optional<double> left;
  if (report.budget) left = *report.budget - report.error;
  for (int l = 0; l < window.layers_size(); ++l) {
    const proto::LayerStatistics& layer = window.layers(l);
    const int chosen = (*options)[l];
    LayerReport& one = report.layers.emplace_back();
    one.name = layer.name();
    one.elements = layer.elements();
    one.codec = CodecName(layer.options(chosen).codec());
    one.bytes = layer.options(chosen).wire_bytes();
    one.error = errors.error(l, chosen);
    one.relative_error = one.error == 0 ? 0 : one.error / errors.silence(l);
    one.why = layer.eligible() ? Why(layer, errors, l, chosen, left) : WhyIneligible(config, layer);
  }
  return report;
}

}  // namespace sluice
