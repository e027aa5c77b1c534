#pragma once

#include <vector>

#include "policies/compression/plan.h"
#include "proto/policy.pb.h"

namespace sluice {

struct ExposedTime {
  double communication_seconds = 0;  ///< of all buckets, as if none had to wait
  double exposed_seconds = 0;        ///< from the end of backward to the last byte
};

/// Whether the window says when gradients are there and how fast the link is, so that times can be
/// predicted.
bool KnowsTimes(const proto::WindowStatistics& window);

/// Seconds that an option's layer keeps the link and the comm thread busy: wire bytes / bandwidth,
/// and encoding and decoding. \pre KnowsTimes(window)
double OptionSeconds(const proto::WindowStatistics& window, const proto::OptionStatistics& option);

/// What a plan asks of the link and the comm thread.
struct PlanLoad {
  std::vector<double>
      bucket_seconds;  ///< x_b: OptionSeconds of its layers, its share of the headers
  int steps = 2;       ///< latencies until a bucket is reduced; 4 with low rank
};

/// \pre KnowsTimes(window)
PlanLoad LoadOf(const proto::WindowStatistics& window, const OptionIndices& options);

/// When the last byte is there under a plan. Bucket b is ready at a_b, keeps the link busy for x_b
/// (its layers' OptionSeconds and its share of the frame headers), and buckets go one after the
/// other, in order:
///
///     F = max over j of ( a_j + sum of x_b over b >= j ) + steps * latency
///     exposed = max(0, F - end of backward)
///
/// with 2 steps, or 4 where a low-rank layer needs two exchanges. Pure arithmetic; the model is
/// that of docs/planner.md. \pre KnowsTimes(window)
ExposedTime PredictExposed(const proto::WindowStatistics& window, const OptionIndices& options);

}  // namespace sluice
