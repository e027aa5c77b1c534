#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/policy.pb.h"

namespace sluice {

/// The lines of a file of a run directory, in order.
template <class Record>
struct Recording {
  std::vector<Record> records;
  /// Empty, or one sentence: the last line is cut off, as in a running job's file, and left out.
  std::string warning;
};

/// stats.jsonl. Numbers that are null become NaN. Fields that older versions did not write (bucket,
/// shape, world_size, times, codec_seconds) may be missing.
/// \param name  of the text in messages, usually its path
/// \error kInvalidArgument  not what WindowJson writes: names text, line and field
absl::StatusOr<Recording<proto::WindowStatistics>> ParseStatistics(absl::string_view text,
                                                                   absl::string_view name);

/// policies.jsonl; only version, effective_step and layers must be there.
/// \error kInvalidArgument  not what PolicyJson writes: names text, line and field
absl::StatusOr<Recording<proto::CompressionPolicy>> ParsePolicies(absl::string_view text,
                                                                  absl::string_view name);

/// The same of a file. \error kNotFound  it cannot be read
absl::StatusOr<Recording<proto::WindowStatistics>> ReadStatistics(const std::string& path);
absl::StatusOr<Recording<proto::CompressionPolicy>> ReadPolicies(const std::string& path);

}  // namespace sluice
