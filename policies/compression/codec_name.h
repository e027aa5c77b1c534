#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/policy.pb.h"

namespace sluice {

/// "raw", "maxmin4/512", "l2norm4/512s", "topk0.1%/q8x", "lowrank4/fp32": the codec as every table,
/// log line and file writes it (docs/formats.md); the same as ToString of comm/codec. "?" for a
/// codec that cannot be.
std::string CodecName(const proto::CodecChoice& codec);

/// The codec of exactly such a name: CodecName of the result is `name`.
/// \error kInvalidArgument  anything else, with the forms that there are
absl::StatusOr<proto::CodecChoice> ParseCodecName(absl::string_view name);

}  // namespace sluice
