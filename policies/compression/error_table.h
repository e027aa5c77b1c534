#pragma once

#include <string>
#include <vector>

#include "policies/compression/plan.h"
#include "proto/policy.pb.h"

namespace sluice {

/// The errors of a window's options in one metric.
class ErrorTable {
 public:
  /// \param metric  "l2": norms; "l2sq": squared norms
  ErrorTable(const proto::WindowStatistics& window, const std::string& metric);

  /// Infinite when the profiler gave no finite number; 0 for raw.
  double error(int layer, int option) const { return errors_[layer][option]; }
  /// The error of sending nothing; infinite when it is not known.
  double silence(int layer) const { return silence_[layer]; }

  /// Sum over layers, leaving out infinite ones. Compensated, so that equal errors in another order
  /// give an equal sum. Source: Neumaier 1974.
  double Sum(const OptionIndices& options) const;

 private:
  std::vector<std::vector<double>> errors_;
  std::vector<double> silence_;
};

}  // namespace sluice
