#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "policies/compression/exposed_time.h"
#include "proto/job.pb.h"
#include "proto/policy.pb.h"

namespace sluice {

/// One layer under a plan.
struct LayerReport {
  std::string name;
  int64_t elements = 0;
  std::string codec;
  double bytes = 0;           ///< sent by one rank per step
  double error = 0;           ///< in the job's metric; infinite: not known
  double relative_error = 0;  ///< of what sending nothing would lose
  std::string why;            ///< what the next options would cost, or why there are none
};

/// What a plan means for a window, against raw and against the uniform reference.
struct PlanReport {
  std::vector<LayerReport> layers;
  double bytes = 0;
  double raw_bytes = 0;
  std::optional<double> uniform_bytes;  ///< absent where the statistics lack the reference
  double error = 0;                     ///< of layers with known errors
  std::optional<double> budget;  ///< the plan's own, else alpha times the uniform reference's error
  std::optional<ExposedTime> time;  ///< absent where the window does not know its times
  std::optional<ExposedTime> raw_time;
  std::optional<ExposedTime> uniform_time;
};

/// \param window  with errors
/// \error kInvalidArgument  statistics that no policy accepts
/// \error kFailedPrecondition  the plan is not of the window's layers, or chooses what was not
/// measured there
absl::StatusOr<PlanReport> ReportPlan(const proto::Compression& config,
                                      const proto::WindowStatistics& window,
                                      const proto::CompressionPolicy& plan);

}  // namespace sluice
