#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/job.pb.h"
#include "proto/policy.pb.h"

namespace sluice {

/// The budget of error over the job: alpha as a function of the step, in units of the uniform reference's error.
///
///     linear START END [STEPS]    START at step 0, END at STEPS and from there on, straight between
///     cosine START END [STEPS]    the same along half a cosine: slow, fast, slow
///     steps 0:A 500:B ...         A from step 0 on, B from step 500 on
///
/// Without STEPS the job's length. Pure and immutable.
class AlphaSchedule {
 public:
  static constexpr double kMost = 1000;

  /// \param text  as compression.alpha_schedule
  /// \error kInvalidArgument  what was expected and what was found
  static absl::StatusOr<AlphaSchedule> Parse(absl::string_view text);

  /// \param total_steps  of the job; 0 = not known: without STEPS it stays at START
  /// \return above 0, at most kMost
  double At(int64_t step, int64_t total_steps) const;

  /// Whether At depends on the job's length.
  bool needs_total() const { return shape_ != Shape::kSteps && steps_ == 0; }

 private:
  enum class Shape { kLinear, kCosine, kSteps };

  Shape shape_ = Shape::kSteps;
  double start_ = 1;
  double end_ = 1;
  int64_t steps_ = 0;                                        // 0 = the job's
  std::vector<std::pair<int64_t, double>> from_ = {{0, 1}};  // kSteps: ascending, from step 0 on
};

/// Of the plan for `window`: what was scheduled for it, or else the job's.
double AlphaOf(const proto::Compression& config, const proto::WindowStatistics& window);

}  // namespace sluice
