#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/job.pb.h"

namespace sluice {

enum class JobFormat { kYaml, kJson, kTextproto };

/// The format that a file's name stands for: .yaml, .yml, .json, .textproto, .pbtxt.
/// \error kInvalidArgument for any other ending, with those that are accepted
absl::StatusOr<JobFormat> JobFormatOf(absl::string_view path);

/// Reads a job and completes it: every key that is absent gets the default of its rule in
/// job.proto. Empty text is the job of all defaults. \param name       of the text in errors,
/// usually its path \param overrides  `key.path=value`, the value as YAML: applied in order over
/// the text; the last wins \error kInvalidArgument  all errors, up to 20, one a line, each with
/// `name:line:` or `--set ...:`,
///                          the key's path, what was expected and what was got
absl::StatusOr<proto::JobConfig> ParseJob(absl::string_view text, JobFormat format,
                                          absl::string_view name,
                                          const std::vector<std::string>& overrides);

/// ParseJob of a file of at most 1 MiB.
/// \error kNotFound            no such file
/// \error kPermissionDenied    the file cannot be opened
/// \error kInvalidArgument     as ParseJob; a directory, a name with an unknown ending, a file too
/// large
absl::StatusOr<proto::JobConfig> LoadJob(const std::string& path,
                                         const std::vector<std::string>& overrides);

}  // namespace sluice
