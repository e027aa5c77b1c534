#include "training/phases/otov3/prune_settings.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace sluice::otov3 {
namespace {

absl::Status Expect(bool holds, absl::string_view setting, double value,
                    absl::string_view expected) {
  if (holds) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("otov3.", setting, " is ", value, ": expected ", expected));
}

absl::Status CheckRanges(const PruneSettings& s) {
  SLUICE_RETURN_IF_ERROR(Expect(s.rules.target >= 0 && s.rules.target < 1, "target_sparsity",
                                s.rules.target, "at least 0 and below 1"));
  SLUICE_RETURN_IF_ERROR(Expect(s.rules.divisor >= 1, "divisor", s.rules.divisor, "at least 1"));
  SLUICE_RETURN_IF_ERROR(Expect(s.rules.max_removed >= 0 && s.rules.max_removed <= 1, "max_removed",
                                s.rules.max_removed, "0 to 1"));
  SLUICE_RETURN_IF_ERROR(Expect(s.score_average >= 0 && s.score_average < 1, "score_average",
                                s.score_average, "at least 0 and below 1"));
  SLUICE_RETURN_IF_ERROR(Expect(s.cost_weight >= 0, "cost_weight", s.cost_weight, "at least 0"));
  const HalfSpaceRule& h = s.half_space;
  SLUICE_RETURN_IF_ERROR(Expect(h.penalty > 0, "penalty", h.penalty, "above 0"));
  SLUICE_RETURN_IF_ERROR(Expect(h.amplify > 0, "amplify", h.amplify, "above 0"));
  SLUICE_RETURN_IF_ERROR(Expect(h.ceiling >= 1, "ceiling", h.ceiling, "at least 1"));
  SLUICE_RETURN_IF_ERROR(
      Expect(h.epsilon >= 0 && h.epsilon < 1, "epsilon", h.epsilon, "at least 0 and below 1"));
  return Expect(s.periods >= 1, "periods", s.periods, "at least 1");
}

absl::Status CheckShares(const PruneSettings& s) {
  SLUICE_RETURN_IF_ERROR(
      Expect(s.warmup >= 0 && s.warmup < 1, "warmup", s.warmup, "at least 0 and below 1"));
  SLUICE_RETURN_IF_ERROR(Expect(s.projection >= s.warmup && s.projection <= 1, "projection",
                                s.projection, "from warmup to 1"));
  SLUICE_RETURN_IF_ERROR(
      Expect(s.shrink >= s.warmup && s.shrink <= 1, "shrink", s.shrink, "from warmup to 1"));
  return Expect(s.deadline > s.warmup && s.deadline >= s.shrink && s.deadline <= 1, "deadline",
                s.deadline, "above warmup, from shrink to 1");
}

}  // namespace

PruneSettings PruneSettingsOf(const proto::Phase& phase) {
  const proto::Otov3& from = phase.otov3();
  PruneSettings settings;
  settings.mode = from.mode() == "erase" ? Mode::kErase : Mode::kPrune;
  settings.variant = from.variant() == "hesso" ? Variant::kHesso : Variant::kDhspg;
  settings.hesso_scores = from.score() == "hesso";
  settings.cost_weight = from.cost_weight();
  settings.rules = {from.target_sparsity(), from.divisor(), from.max_removed()};
  settings.half_space = RuleFor(phase.optimizer().kind());
  settings.half_space.epsilon = from.epsilon();
  settings.warmup = from.warmup();
  settings.projection = from.projection();
  settings.shrink = from.shrink();
  settings.deadline = from.deadline();
  settings.periods = from.periods();
  settings.keep.assign(from.keep().begin(), from.keep().end());
  return settings;
}

int64_t Timeline::PeriodBegin(int period, int periods) const {
  return partition + (deadline - partition) * period / periods;
}

absl::StatusOr<Timeline> MakeTimeline(const PruneSettings& settings, int64_t steps) {
  SLUICE_RETURN_IF_ERROR(CheckRanges(settings));
  SLUICE_RETURN_IF_ERROR(CheckShares(settings));
  const auto step_of = [&](double share) {
    return static_cast<int64_t>(std::floor(share * static_cast<double>(steps)));
  };
  Timeline timeline{step_of(settings.warmup), step_of(settings.projection),
                    step_of(settings.shrink), step_of(settings.deadline)};
  timeline.shrink = std::min(timeline.shrink, timeline.deadline - 1);
  const int64_t least = settings.variant == Variant::kHesso ? settings.periods : 1;
  if (timeline.deadline - timeline.partition >= least) return timeline;
  return absl::InvalidArgumentError(
      absl::StrCat("otov3: ", timeline.deadline - timeline.partition, " of the phase's ", steps,
                   " steps are between warmup and deadline, expected at least ", least,
                   ": make the phase longer, or have fewer periods"));
}

}  // namespace sluice::otov3
