#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/ids.h"
#include "policies/compression/compression_policy.h"
#include "proto/job.pb.h"
#include "proto/policy.pb.h"

namespace sluice {

/// Whether the job's policy measures gradients, so that workers accumulate windows and a profiler is needed.
/// \error kInvalidArgument  the job names an unknown policy
absl::StatusOr<bool> NeedsWindows(const proto::JobConfig& job);

/// Decides when plans are made and published: version numbers, effective steps, "nothing changed".
///
///     step 0        warmup_steps          end of window w, + profiling     + lead_steps
///     | raw (v0)    | uniform (v1)        | maker's plan published         | in force
///
/// Pure but for the clock that times the solver.
class PolicyPublisher {
 public:
  using Clock = std::function<absl::Time()>;

  /// \error kInvalidArgument  the job names an unknown policy
  static absl::StatusOr<std::unique_ptr<PolicyPublisher>> Create(const proto::JobConfig& job,
                                                                 Clock clock);

  /// The plan that ends the raw warm-up; nullopt when the job stays raw.
  /// \param sizes  every layer's options with their wire bytes, errors unset
  absl::StatusOr<std::optional<proto::CompressionPolicy>> Initial(
      const proto::WindowStatistics& sizes);

  /// The plan for a measured window; nullopt when every layer's choice stays as it is.
  /// \param newest  highest step that any rank is known to have completed
  absl::StatusOr<std::optional<proto::CompressionPolicy>> OnWindow(
      const proto::WindowStatistics& window, Step newest);

  /// Published plans that changed at least one layer.
  int changes() const { return changes_; }
  const proto::CompressionPolicy& current() const { return current_; }

 private:
  PolicyPublisher(const proto::JobConfig& job, std::unique_ptr<CompressionPolicyMaker> maker,
                  Clock clock);

  absl::StatusOr<std::optional<proto::CompressionPolicy>> Publish(
      CompressionPolicyMaker& maker, const proto::WindowStatistics& window, int64_t effective_step);

  const proto::Compression compression_;
  const int world_size_;
  std::unique_ptr<CompressionPolicyMaker> maker_;
  Clock clock_;
  proto::CompressionPolicy current_;
  int64_t last_window_ = -1;
  int changes_ = 0;
};

}  // namespace sluice
