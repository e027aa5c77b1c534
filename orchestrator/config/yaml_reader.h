#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "orchestrator/config/node.h"

namespace sluice {

/// Reads one YAML document, or JSON, which is read as YAML. Anchors, aliases and tags are refused:
/// no job needs them, and without them the tree is never larger than the text. Empty text is a null
/// node. \param source  the file's name, for errors \error kInvalidArgument `source:line:column:
/// what is wrong`
absl::StatusOr<Node> ReadYaml(absl::string_view text, absl::string_view source);

}  // namespace sluice
