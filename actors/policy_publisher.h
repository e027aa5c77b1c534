#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/ids.h"
#include "policies/compression/compression_policy.h"
#include "policies/compression/error_correction.h"
#include "proto/checkpoint.pb.h"
#include "proto/job.pb.h"
#include "proto/policy.pb.h"

namespace sluice {

/// Whether the job's policy measures gradients, so that workers accumulate windows and a profiler is needed.
/// Starts no plugin. \error as PolicyNeedsErrors
absl::StatusOr<bool> NeedsWindows(const proto::JobConfig& job);

/// How many profilers the job gets: world.profilers if it needs windows, else none. \error as NeedsWindows
absl::StatusOr<int> ProfilersOf(const proto::JobConfig& job);

/// What a rank must know before it begins a step, so that all ranks switch plans at the same, predictable one.
inline constexpr int64_t kNoDecision = -2;       ///< nothing yet
inline constexpr int64_t kInitialDecision = -1;  ///< what follows the warm-up
/// Above every window: nothing will be decided any more in this generation.
inline constexpr int64_t kNoMoreDecisions = std::numeric_limits<int64_t>::max();
/// \return the newest window whose plan, if it got one, takes effect right after `step`; or one of the above
int64_t RequiredDecision(const proto::Compression& compression, bool needs_windows, Step step);

/// Decides when plans are made and published: version numbers, effective steps, "nothing changed".
///
///     step 0        warmup_steps       end of window w               + lead_steps
///     | raw (v0)    | uniform (v1)     | profiling, plan published    | in force
///
/// The step at which a window's plan takes effect is a function of the job alone, so that a rerun has the same
/// bits (docs/adr/0003). Pure but for the clock that times the solver.
class PolicyPublisher {
 public:
  using Clock = std::function<absl::Time()>;

  /// \error as CreateCompressionPolicy
  static absl::StatusOr<std::unique_ptr<PolicyPublisher>> Create(const proto::JobConfig& job,
                                                                 Clock clock);
  /// With `maker` in the place of the policy that the job names.
  PolicyPublisher(const proto::JobConfig& job, std::unique_ptr<CompressionPolicyMaker> maker,
                  Clock clock);

  /// The plan that ends the raw warm-up; nullopt when the job stays raw.
  /// \param sizes  every layer's options with their wire bytes, errors unset
  absl::StatusOr<std::optional<proto::CompressionPolicy>> Initial(
      const proto::WindowStatistics& sizes);

  /// The plans that are known before training and follow the initial one, ascending; each takes effect at its
  /// own step. Empty unless the policy plays a recording. \pre Initial was called
  absl::StatusOr<std::vector<proto::CompressionPolicy>> Later(const proto::WindowStatistics& sizes);

  /// Fills in what the plan for a window depends on beside what was measured: alpha, if it is scheduled, and errors as
  /// corrected by what was lost, if the job says so. Once, before OnWindow.
  /// \param total_steps  of the job as it is known now; 0 = it is not
  absl::Status Prepare(int64_t total_steps, proto::WindowStatistics& window);

  /// The plan for a measured window; nullopt when every layer's choice stays as it is, and, with a warning, when
  /// the policy has none this time (kUnavailable).
  /// \error kInvalidArgument  a window that is not after the last one
  absl::StatusOr<std::optional<proto::CompressionPolicy>> OnWindow(
      const proto::WindowStatistics& window);

  /// A phase begins with `step`, in which the job's compression is this. \return the plan that follows at once, in
  /// force from the step after it: the new policy's, or its uniform reference if it has to measure first; nullopt
  /// when compression or every layer's choice stays as it is
  absl::StatusOr<std::optional<proto::CompressionPolicy>> OnPhase(
      const proto::Compression& compression, const proto::WindowStatistics& sizes, int64_t step);

  /// Plans by `compression` from now on; the plan in force stays. \error as CreateCompressionPolicy
  absl::Status SetCompression(const proto::Compression& compression);

  /// What a run needs that goes on with `next_step`, in this process or another, to plan as if it had
  /// never stopped: the decisions on windows that ended before it. Of the last kKeptDecisions; nullopt
  /// when more have been made since.
  std::optional<proto::PolicyState> SaveState(Step next_step) const;

  /// Takes the place of Initial and Later: plans from where `state` was saved. `policy` and `pending`
  /// of it are the ranks' to know. \error kDataLoss  plans out of order, or of another policy's maker
  absl::Status RestoreState(const proto::PolicyState& state);

  /// A generation of another size starts. The plan in force stays; bytes in it were predicted for the
  /// old size.
  void OnNewWorld(int world_size) { world_size_ = world_size; }

  /// The newest published plan; without layers while everything is raw.
  const proto::CompressionPolicy& current() const { return current_; }
  /// Published plans that changed at least one layer.
  int changes() const { return changes_; }

  static constexpr size_t kKeptDecisions = 32;

 private:
  // Where things stood after the decision on a window; or, window -1, on the start.
  struct Decision {
    int64_t window = kInitialDecision;
    int64_t last_step = -1;  // of the window
    uint32_t version = 0;    // newest published
    int changes = 0;
    std::string maker;
    std::vector<double> error_ratios;
  };

  absl::StatusOr<std::optional<proto::CompressionPolicy>> PublishFirst(
      const proto::WindowStatistics& sizes, int64_t step);
  void Remember(int64_t window, int64_t last_step);
  const proto::CompressionPolicy* InForce(int64_t step) const;
  absl::StatusOr<std::optional<proto::CompressionPolicy>> Publish(
      CompressionPolicyMaker& maker, const proto::WindowStatistics& window, int64_t effective_step);

  proto::Compression compression_;
  int world_size_;
  std::unique_ptr<CompressionPolicyMaker> maker_;
  Clock clock_;
  ErrorCorrection correction_;
  proto::CompressionPolicy current_;
  int64_t last_window_ = -1;
  int changes_ = 0;
  std::deque<Decision> decisions_;                  // the last ones
  std::deque<proto::CompressionPolicy> published_;  // that they refer to, ascending
  std::string warning_;                             // the last one, so as not to repeat it
};

}  // namespace sluice
