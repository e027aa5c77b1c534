#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/job.pb.h"
#include "training/robust/layer_spectrum.h"

namespace sluice {

// The torch-free door to attacks on a trained model.

struct RobustnessQuestion {
  double eps = 8.0 / 255;  ///< in pixel values; attacks step by a quarter of it
  int64_t samples = 0;     ///< of the test set, the first ones; 0: all
  int restarts = 5;        ///< of the strongest attack
};

/// How many samples were classified right, by attack. Counts of disjoint shards add up.
struct RobustnessCounts {
  int64_t samples = 0;
  int64_t clean = 0;
  int64_t fgsm = 0;        ///< one step of eps
  int64_t pgd20 = 0;       ///< 20 steps from a random start
  int64_t pgd50 = 0;       ///< 50 steps, with restarts
  int64_t worst_case = 0;  ///< under all of these
};

struct RobustnessReport {
  RobustnessCounts counts;
  std::vector<LayerSpectrum> spectra;  ///< in the network's order
  bool of_average = false;             ///< of the weights' average, which the checkpoint has
  /// What makes the counts doubtful, one line each: gradients that lead nowhere.
  std::vector<std::string> alarms;
};

/// Attacks the checkpoint's model on the test set of its job; sample i starts where (seed, i, restart) says.
/// \param path  ROOT/step_NNNNNNNN
/// \error as ReadManifest, ReadCheckpointFile, LoadDatasets and BuildNetwork
/// \error kInvalidArgument  its data are no images
absl::StatusOr<RobustnessReport> MeasureRobustness(const proto::JobConfig& job,
                                                   const std::string& path,
                                                   const RobustnessQuestion& question);

}  // namespace sluice
