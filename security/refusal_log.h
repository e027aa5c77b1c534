#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"

namespace sluice {

/// Keeps the log readable while strangers knock: a burst of lines, then one per period, which says how many were
/// left out. Time is given. \threadsafety one thread
class RefusalLog {
 public:
  static constexpr int kBurst = 10;
  static constexpr absl::Duration kPeriod = absl::Seconds(10);

  /// \return what to log now, if anything
  std::optional<std::string> Add(const std::string& text, absl::Time now);
  /// How many were left out since the last line.
  int64_t left_out() const { return left_out_; }

 private:
  int lines_ = 0;  // of the burst
  absl::Time next_ = absl::InfinitePast();
  int64_t left_out_ = 0;
};

}  // namespace sluice
