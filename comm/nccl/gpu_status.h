#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "comm/nccl/library.h"

namespace sluice {

/// OK, or "`operation`: out of memory (cudaErrorMemoryAllocation)".
/// \error kResourceExhausted  no memory
/// \error kUnavailable        no device, no driver, or one that is too old
/// \error kInvalidArgument    of the call, or the number of a device that is not there
/// \error kInternal           anything else
absl::Status FromCuda(const GpuLibrary& gpu, cudaError_t error, absl::string_view operation);

/// OK, or "`operation`: remote process exited or there was a network error (NCCL error 6): " and
/// NCCL's last error where it has one.
/// \pre result != ncclInProgress
/// \param comm  whose call it was; may be null
/// \error kUnavailable         a peer or the network: membership decides
/// \error kInvalidArgument     of the call
/// \error kFailedPrecondition  the ranks, or the calls, do not fit together
/// \error kInternal            CUDA's or NCCL's own
absl::Status FromNccl(const GpuLibrary& gpu, ncclResult_t result, ncclComm_t comm,
                      absl::string_view operation);

}  // namespace sluice
