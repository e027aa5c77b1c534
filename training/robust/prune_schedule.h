#pragma once

#include <cstdint>
#include <optional>

namespace sluice {

/// At which steps of a phase weights are pruned, and to which share: at once, or more and more in at most 20 goes
/// that come closer to the final share as s (1 - (1 - x)^3) does.
/// Source: Zhu & Gupta, 2017, "To prune, or not to prune", section 3.
class PruneSchedule {
 public:
  /// \param sparsity    in the end; 0: there is nothing to prune
  /// \param begin, end  shares of the phase's steps, 0 <= begin <= end <= 1; equal: all at once
  /// \param steps       of the phase, at least 1
  PruneSchedule(double sparsity, double begin, double end, int64_t steps);

  /// The share that is to be 0 from step `step` of the phase on, if that is another than at the step before.
  std::optional<double> At(int64_t step) const;

 private:
  double sparsity_;
  int64_t first_, last_;
  int64_t goes_;
};

}  // namespace sluice
