#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/descriptor.pb.h"

namespace sluice {

/// The tables of docs/job_file.md: every key with type, default and accepted values from its rule,
/// and its comment in job.proto. \param sources  protoc's descriptor set of job.proto, with source
/// info: it has the comments
std::string JobReference(const google::protobuf::FileDescriptorSet& sources);

/// `page` with everything after the line kJobReferenceMark replaced by `reference`.
/// \error kInvalidArgument  the page does not have that line
absl::StatusOr<std::string> WithJobReference(const std::string& page, const std::string& reference);

inline constexpr char kJobReferenceMark[] =
    "<!-- From here on made from proto/job.proto by "
    "`bazel run //orchestrator/config:update_job_reference`. -->\n";

}  // namespace sluice
