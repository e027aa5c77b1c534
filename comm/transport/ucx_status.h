#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "ucs/type/status.h"

namespace sluice {

/// What UCX reports in our codes, "`what`: UCX's own words". UCS_OK and UCS_INPROGRESS are OK.
///
///     kUnavailable        the link or the peer failed, or cannot be reached
///     kDataLoss           a message longer than its buffer
///     kCancelled, kDeadlineExceeded, kResourceExhausted, kInvalidArgument  as UCX says
///     kInternal           everything else
absl::Status FromUcs(ucs_status_t status, absl::string_view what);

}  // namespace sluice
