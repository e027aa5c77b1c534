#pragma once

#include <cstdint>

namespace sluice {

/// What one link between two processes does: sending n bytes takes latency + n / bandwidth.
/// The defaults stand for a link nobody has measured yet: 10 Gbit/s Ethernet.
struct LinkEstimate {
  double latency_seconds = 30e-6;
  double bytes_per_second = 1.25e9;
  /// How many transfers it rests on; 0: assumed.
  int64_t observations = 0;
};

}  // namespace sluice
