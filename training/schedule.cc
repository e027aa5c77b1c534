#include "training/schedule.h"

#include <algorithm>
#include <cmath>

namespace sluice {

double LearningRateFactor(const proto::Schedule& schedule, int64_t step, int64_t total_steps) {
  const int64_t warmup = schedule.warmup_steps();
  if (step < warmup) return static_cast<double>(step + 1) / static_cast<double>(warmup);
  if (schedule.kind() == "cosine") {
    if (step >= total_steps) return 0;
    const double t = static_cast<double>(step - warmup) / static_cast<double>(total_steps - warmup);
    return (1 + std::cos(M_PI * t)) / 2;
  }
  if (schedule.kind() == "step") {
    return std::pow(schedule.gamma(), static_cast<double>((step - warmup) / schedule.step_size()));
  }
  return 1;
}

}  // namespace sluice
