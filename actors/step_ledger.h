#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "proto/control.pb.h"

namespace sluice {

/// One step as the whole cluster saw it.
struct ClusterStep {
  Step step;
  double loss = 0;                   ///< mean over the global batch
  double step_seconds = 0;           ///< of the slowest rank
  double exposed_seconds = 0;        ///< mean over ranks
  double communication_seconds = 0;  ///< mean over ranks
  double sent_bytes = 0;             ///< mean over ranks, measured at the transport
  double predicted_bytes = 0;        ///< of the policy in force
  uint32_t policy_version = 0;
  bool checksum_compared = false;
  int missing_ranks = 0;  ///< that were lost before they reported it
  bool skipped = false;   ///< not applied: something was not finite
};

/// Sums over all completed steps.
struct LedgerTotals {
  int64_t steps = 0;
  double step_seconds = 0;
  double exposed_seconds = 0;
  double communication_seconds = 0;
  double sent_bytes = 0;
  double predicted_bytes = 0;
  int64_t checksums_compared = 0;
  int64_t skipped_steps = 0;
  double last_loss = 0;

  /// One of the sums above, per step; 0 before the first.
  double PerStep(double sum) const { return steps > 0 ? sum / static_cast<double>(steps) : 0; }
  /// Of the whole cluster, over the steps' own time.
  double SamplesPerSecond(int64_t global_batch) const {
    return step_seconds > 0 ? static_cast<double>(global_batch * steps) / step_seconds : 0;
  }
};

/// Puts the ranks' step records together and compares what must be equal. Pure.
class StepLedger {
 public:
  explicit StepLedger(int world_size);

  /// From now on steps under policy `version` are expected to send `bytes` (mean over ranks).
  void SetPrediction(uint32_t version, double bytes);

  /// Takes one rank's record.
  /// \return the steps that are now complete, in order
  /// \error kInvalidArgument  rank out of range, or a step reported twice
  /// \error kDataLoss         parameter checksums differ: names the step, and the ranks by value
  /// \error kInternal         ranks used different policies in one step, or not all skipped it
  absl::StatusOr<std::vector<ClusterStep>> Add(Rank rank, const proto::StepRecord& record);

  /// Another set of ranks goes on with `start_step`. Steps before it that not every rank of the old set has
  /// reported are completed with what there is: a lost rank's share of loss and bytes is taken to be the mean
  /// of the others'. Records of later steps are forgotten: those steps are repeated.
  /// \return the steps that are now complete, in order
  std::vector<ClusterStep> Regroup(int world_size, int64_t start_step);

  const LedgerTotals& totals() const { return totals_; }
  /// The lowest step that is not complete.
  Step next() const { return Step(next_); }
  /// The highest step that any rank has completed, -1 before the first.
  Step newest() const { return newest_; }

 private:
  struct Entry {
    int received = 0;
    std::vector<std::optional<proto::StepRecord>> by_rank;
  };

  absl::StatusOr<ClusterStep> Merge(Step step, const Entry& entry) const;
  void Complete(const ClusterStep& step);

  int world_size_;
  std::map<int64_t, Entry> open_;
  std::map<uint32_t, double> predictions_;
  int64_t next_ = 0;  // lowest step that is not complete
  Step newest_{-1};
  LedgerTotals totals_;
};

}  // namespace sluice
