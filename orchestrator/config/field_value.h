#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"
#include "orchestrator/config/node.h"
#include "proto/options.pb.h"

namespace sluice {

/// The rule in the field's proto options; an empty one when it has none.
const proto::FieldRule& RuleOf(const google::protobuf::FieldDescriptor& field);

/// What one value of the field looks like: "a whole number in [1, 8]", "one of: on, off".
std::string DescribeExpected(const google::protobuf::FieldDescriptor& field);

/// Shortest decimal text that reads back as the same number: "0.05", "1e-8", "1048576".
std::string NumberText(double value);

/// Parses a scalar, checks it against the field's type and rule, and sets the field, or adds to it
/// when it is repeated. Numbers are strict decimals: no spaces, units, hexadecimal or leading
/// zeros; whole numbers may be written with an exponent (1e3). Text must be UTF-8 without control
/// characters. \pre `field` is not a message \error kInvalidArgument  what was expected and what
/// was got; the message is unchanged
absl::Status SetScalar(const Node& scalar, const google::protobuf::FieldDescriptor& field,
                       google::protobuf::Message& message);

/// Sets every field of the message and of those in it to its rule's default; repeated fields from a
/// comma list. A default that its own rule refuses is a bug and ends the process.
void SetDefaults(google::protobuf::Message& message);

}  // namespace sluice
