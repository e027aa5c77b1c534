#pragma once

#include <vector>

#include "absl/types/span.h"
#include "proto/policy.pb.h"

namespace sluice {

/// Weighs layers by what their plan really lost. The profiler measures one encoding of a mean over ranks and steps; a
/// step encodes each rank's own gradient and then the sum, and of a layer whose ranks or steps differ much that loses
/// more of it than of one whose gradients agree. What a window's last step lost is known from residuals
/// (LayerStatistics.lost_squared_error), so per layer
///
///     ratio = lost / error of the option in force,  over the same of all measured layers together
///
/// clamped, and averaged with the one of before (geometrically, half and half), is what the squared errors of all its
/// options are multiplied with. The common factor is left out because it is in the budget too. Layers that were sent
/// without loss, or whose ratio was never known, keep theirs. Pure.
class ErrorCorrection {
 public:
  static constexpr double kMostRatio = 32;  ///< and 1 / kMostRatio at the least

  /// \param in_force  the plan of the window's last step; without layers: raw everywhere
  /// \param window    squared errors and error_ratio of its layers are changed
  void Apply(const proto::CompressionPolicy& in_force, proto::WindowStatistics& window);

  /// By layer, 0 where it is not known; for a checkpoint. Empty before the first Apply.
  const std::vector<double>& ratios() const { return ratios_; }
  void Restore(absl::Span<const double> ratios) { ratios_.assign(ratios.begin(), ratios.end()); }

 private:
  std::vector<double> ratios_;
};

}  // namespace sluice
