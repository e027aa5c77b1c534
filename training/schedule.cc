#include "training/schedule.h"

#include <cmath>

namespace sluice {
namespace {

// From 0 at x = 0 to 1 at x = 1, level at both.
double Rise(double x) { return (1 - std::cos(M_PI * x)) / 2; }

// From 1 to 0, exact at both ends.
double Fall(double x) { return (1 + std::cos(M_PI * x)) / 2; }

}  // namespace

double LearningRateFactor(const proto::Schedule& schedule, int64_t step, int64_t total_steps) {
  const int64_t warmup = schedule.warmup_steps();
  if (step < warmup) return static_cast<double>(step + 1) / static_cast<double>(warmup);
  if (schedule.kind() == "constant") return 1;
  if (schedule.kind() == "step") {
    return std::pow(schedule.gamma(), static_cast<double>((step - warmup) / schedule.step_size()));
  }
  const double end = schedule.final_factor();
  if (step >= total_steps) return end;
  const double t = static_cast<double>(step - warmup) / static_cast<double>(total_steps - warmup);
  if (schedule.kind() == "cosine") return end + (1 - end) * Fall(t);
  if (schedule.kind() == "polynomial") return end + (1 - end) * std::pow(1 - t, schedule.power());
  const double peak = schedule.peak_at(), start = schedule.start_factor();
  if (t < peak) return start + (1 - start) * Rise(t / peak);
  return end + (1 - end) * Fall((t - peak) / (1 - peak));
}

}  // namespace sluice
