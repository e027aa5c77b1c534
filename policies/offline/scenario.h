#pragma once

#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/job.pb.h"
#include "proto/policy.pb.h"

namespace sluice {

/// What a rank's link gives.
struct Network {
  double bytes_per_second = 0;
  double latency_seconds = 0;
};

/// "1gbit,0.2ms": a rate as tc takes it (bit, kbit, mbit, gbit, tbit by 1000, kibit and so on by
/// 1024; bps, kbps, ... are bytes; upper or lower case; without a unit bits) and the latency, none
/// if left out.
/// \error kInvalidArgument  anything else, or a rate of 0: says which part and what was expected
absl::StatusOr<Network> ParseNetwork(absl::string_view text);

/// As if the window had been recorded with `world_size` ranks. One rank sends 2 (N-1) / N encodings
/// per step in a direct scatter-reduce, so wire bytes grow by the ratio of these; frame headers,
/// one per message, with N-1. Left out are the record headers of more and smaller pieces, and that
/// gradients of smaller shards of a batch are noisier. \pre world_size >= 2
/// \error kFailedPrecondition  the window does not say with how many ranks, or with fewer than two
absl::Status SetWorldSize(int world_size, proto::WindowStatistics* window);

/// As if the network and the length of backward had been these; nullopt: as recorded. The times at
/// which buckets are ready are scaled with backward. Where none were recorded, backward's time is
/// shared out by elements. \pre *backward_seconds > 0
/// \error kFailedPrecondition  one that is not given was not recorded either
absl::Status SetTimes(const std::optional<Network>& network,
                      const std::optional<double>& backward_seconds,
                      proto::WindowStatistics* window);

/// alpha of the plan that follows the window, as `config` schedules it. Of a schedule over the job's length, which is
/// not recorded, stays what the run had.
/// \error kInvalidArgument  no schedule
absl::Status SetAlpha(const proto::Compression& config, proto::WindowStatistics* window);

}  // namespace sluice
