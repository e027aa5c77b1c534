#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "orchestrator/config/node.h"

namespace sluice {

/// Reads Protobuf's text format without a message type, so that its files get the same checks, and
/// as many errors at once, as YAML ones. Not taken: extensions, Any, hexadecimal and octal numbers.
/// Keys may repeat, as the format has it for repeated fields. The root is a map. \param source  the
/// file's name, for errors \error kInvalidArgument `source:line:column: what is wrong`
absl::StatusOr<Node> ReadTextproto(absl::string_view text, absl::string_view source);

}  // namespace sluice
