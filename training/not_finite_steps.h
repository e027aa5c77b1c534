#pragma once

#include "absl/status/status.h"
#include "base/ids.h"
#include "comm/reducer/bucket_layout.h"
#include "comm/reducer/reducer.h"

namespace sluice {

/// What becomes of steps with a loss or gradient that is not finite: passed over by all ranks, or the end. All
/// ranks are told the same by their reducers, and so decide the same. \threadsafety step loop
class NotFiniteSteps {
 public:
  /// \param skip           pass over such steps
  /// \param most_in_a_row  one more is an error
  NotFiniteSteps(bool skip, int most_in_a_row) : skip_(skip), most_in_a_row_(most_in_a_row) {}

  void OnFinite() { in_a_row_ = 0; }

  /// \param loss  the error of this rank's loss, OK if it is finite
  /// \return OK: the step is to be passed over
  /// \error kOutOfRange  SL3001 which rank and layer; where this rank knows most
  /// \error kCancelled   the same, where another rank has the better message
  /// \pre reduction.not_finite
  absl::Status OnNotFinite(Step step, const ReductionStats& reduction, const absl::Status& loss,
                           const BucketLayout& layout);

 private:
  const bool skip_;
  const int most_in_a_row_;
  int in_a_row_ = 0;
};

}  // namespace sluice
