#include "base/exit_codes.h"

namespace sluice {

int ExitCodeForStatus(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kFailedPrecondition:
      return kExitConfig;
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kPermissionDenied:
      return kExitStorage;
    case absl::StatusCode::kUnauthenticated:
      return kExitPermission;
    case absl::StatusCode::kInternal:
      return kExitBug;
    default:
      return kExitTraining;
  }
}

}  // namespace sluice
