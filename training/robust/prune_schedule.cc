#include "training/robust/prune_schedule.h"

#include <algorithm>
#include <cmath>

namespace sluice {

PruneSchedule::PruneSchedule(double sparsity, double begin, double end, int64_t steps)
    : sparsity_(sparsity),
      first_(std::llround(begin * static_cast<double>(steps - 1))),
      last_(std::llround(end * static_cast<double>(steps - 1))),
      goes_(std::min<int64_t>(20, last_ - first_)) {}

std::optional<double> PruneSchedule::At(int64_t step) const {
  if (sparsity_ == 0 || step < first_ || step > last_) return std::nullopt;
  if (goes_ == 0) return sparsity_;
  // The k-th of them is at first + k (last - first) / goes, rounded down.
  const int64_t span = last_ - first_;
  const int64_t go = ((step - first_) * goes_ + span - 1) / span;
  if (go == 0 || first_ + go * span / goes_ != step) return std::nullopt;
  const double left = 1 - static_cast<double>(go) / static_cast<double>(goes_);
  return sparsity_ * (1 - left * left * left);
}

}  // namespace sluice
