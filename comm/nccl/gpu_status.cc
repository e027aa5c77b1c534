#include "comm/nccl/gpu_status.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace sluice {
namespace {

absl::StatusCode CodeOf(cudaError_t error) {
  switch (error) {
    case cudaErrorMemoryAllocation:
      return absl::StatusCode::kResourceExhausted;
    case cudaErrorNoDevice:
    case cudaErrorInsufficientDriver:
    case cudaErrorDevicesUnavailable:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorSystemNotReady:
      return absl::StatusCode::kUnavailable;
    case cudaErrorInvalidDevice:
    case cudaErrorInvalidValue:
      return absl::StatusCode::kInvalidArgument;
    default:
      return absl::StatusCode::kInternal;
  }
}

absl::StatusCode CodeOf(ncclResult_t result) {
  switch (result) {
    case ncclSystemError:  // sockets and shared memory, mostly
    case ncclRemoteError:
      return absl::StatusCode::kUnavailable;
    case ncclInvalidArgument:
      return absl::StatusCode::kInvalidArgument;
    case ncclInvalidUsage:
      return absl::StatusCode::kFailedPrecondition;
    default:
      return absl::StatusCode::kInternal;
  }
}

}  // namespace

absl::Status FromCuda(const GpuLibrary& gpu, cudaError_t error, absl::string_view operation) {
  if (error == cudaSuccess) return absl::OkStatus();
  return absl::Status(CodeOf(error), absl::StrCat(operation, ": ", gpu.cuda.GetErrorString(error),
                                                  " (", gpu.cuda.GetErrorName(error), ")"));
}

absl::Status FromNccl(const GpuLibrary& gpu, ncclResult_t result, ncclComm_t comm,
                      absl::string_view operation) {
  if (result == ncclSuccess) return absl::OkStatus();
  SLUICE_CHECK(result != ncclInProgress, "wait before asking how it ended");
  std::string message =
      absl::StrCat(operation, ": ", gpu.nccl.GetErrorString(result), " (NCCL error ", result, ")");
  const char* last = gpu.nccl.GetLastError(comm);
  if (last != nullptr && *last != '\0') absl::StrAppend(&message, ": ", last);
  return absl::Status(CodeOf(result), message);
}

}  // namespace sluice
