#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/chaos.pb.h"

namespace sluice {

/// Reads the faults of a YAML file, with every default filled in.
/// \param name        of the text in errors
/// \param world_size  ranks must be below it
/// \error kInvalidArgument  all errors, one a line, each with `name:line:`
absl::StatusOr<proto::ChaosPlan> ParseChaos(absl::string_view text, absl::string_view name,
                                            int world_size);

/// ParseChaos of a file. \error kNotFound  it cannot be read
absl::StatusOr<proto::ChaosPlan> LoadChaos(const std::string& path, int world_size);

}  // namespace sluice
