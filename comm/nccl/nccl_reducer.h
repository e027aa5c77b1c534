#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "comm/nccl/gpu_probe.h"
#include "comm/reducer/bucket_layout.h"
#include "comm/reducer/reducer.h"

namespace sluice {

/// Who this process is in an NCCL clique.
struct NcclPlace {
  Rank self;
  int device = 0;  ///< of this process's CUDA devices; no two ranks may share one
};

/// Made by one rank and handed to all, by the control plane, once per generation. 128 bytes, not
/// text. They hold the address at which that rank listens from now on.
/// \error kUnimplemented  built without NCCL headers
/// \error of NCCL
absl::StatusOr<std::string> NewNcclId(const GpuLibrary& gpu);

/// The Reducer contract by NCCL: raw means of fp32.
///
///     step loop          comm thread (alone calls CUDA and NCCL)       stream
///     Ready(t) ...  -->  bucket full                              -->  copy to the device
///                                                                      ncclAllReduce (ncclAvg)
///     Finish()      <--  looks every 50 us if an event was reached <-- copy back
///
/// Gradients lie in page-locked host memory. Buckets are started in layout order as they fill, and
/// queue up in one stream.
///
/// What differs from Reducer::Create:
/// - OfferPlan refuses a plan that encodes any tensor with kUnimplemented. So plans change nothing
///   but ReductionStats::plan_version, and each rank switches by itself: at the first step begun
///   with the plan at hand and at or past its effective_step.
/// - The order of summation is NCCL's: results equal those over other transports to rounding.
/// - ReductionStats::sent_bytes is 2 (N - 1) / N of the gradients' bytes, what a ring sends; NCCL
///   does not say what it sent.
/// - BucketTimes: `started` is when the bucket was put into the stream; nothing is encoded. link()
///   knows nothing.
/// - forward_first has no effect: the stream is served in order.
/// - Transfer is kUnimplemented; states are empty.
/// - Residuals are zero: nothing is lost. error_feedback and seed have no effect.
///
/// \param id   of NewNcclId, the same on all ranks; not used in a world of one
/// \param gpu  must outlive the reducer
/// Returns when all ranks have come.
/// \error kInvalidArgument   options that contradict each other, the layout or the place
/// \error kUnimplemented     window_steps > 0; or built without NCCL headers
/// \error kDeadlineExceeded  not all ranks came within options.timeout
/// \error of CUDA and NCCL, with rank, device, operation and their text
absl::StatusOr<std::unique_ptr<Reducer>> CreateNcclReducer(const Reducer::Options& options,
                                                           BucketLayout layout,
                                                           const NcclPlace& place, std::string id,
                                                           const GpuLibrary& gpu);

}  // namespace sluice
