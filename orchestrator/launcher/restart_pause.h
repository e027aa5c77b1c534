#pragma once

#include <algorithm>

#include "absl/time/time.h"

namespace sluice {

/// How long to wait before a process is started again: kFirst, twice as long after each further end, kMost at most.
/// A process that had run for kHealthy is forgiven: its pauses begin anew.
class RestartPause {
 public:
  static constexpr absl::Duration kFirst = absl::Milliseconds(200);
  static constexpr absl::Duration kMost = absl::Seconds(10);
  static constexpr absl::Duration kHealthy = absl::Seconds(30);

  /// The process has ended `ran` after its start.
  absl::Duration Next(absl::Duration ran) {
    if (ran >= kHealthy) next_ = kFirst;
    const absl::Duration pause = next_;
    next_ = std::min(kMost, 2 * next_);
    return pause;
  }

 private:
  absl::Duration next_ = kFirst;
};

}  // namespace sluice
