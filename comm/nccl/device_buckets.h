#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "comm/nccl/communicator.h"
#include "comm/nccl/device_memory.h"
#include "comm/nccl/library.h"
#include "comm/nccl/nccl_reducer.h"
#include "comm/nccl/poll.h"
#include "comm/reducer/bucket_layout.h"

namespace sluice {

/// Every bucket twice, in page-locked host memory and on the device, and the stream on which its
/// mean is formed:
///
///     Start(b):   host --copy--> device --ncclAllReduce--> device --copy--> host --> event b
///
/// Buckets follow each other in the stream, so several may be started before the first is done. In
/// a world of one, nothing moves.
///
/// \threadsafety the thread that creates it, but host(), which any thread may call
class DeviceBuckets {
 public:
  /// Makes `place.device` the thread's device, and waits for the other ranks.
  /// \error of CUDA or NCCL, with rank and device
  static absl::StatusOr<std::unique_ptr<DeviceBuckets>> Create(const GpuLibrary& gpu,
                                                               const BucketLayout& layout,
                                                               const NcclPlace& place,
                                                               absl::string_view id,
                                                               const Patience& patience);

  /// Ends what is in flight, so that nothing writes to host memory any more.
  ~DeviceBuckets();

  /// 64-byte aligned, fixed. From Start(bucket) until Done(bucket) it is not the caller's.
  absl::Span<float> host(int bucket) const { return buckets_[bucket].host.span(); }

  /// Puts the bucket's work into the stream. On all ranks in the same order.
  absl::Status Start(int bucket, const Patience& patience);

  /// Whether the bucket's mean is in host(bucket). \error of the collective
  absl::StatusOr<bool> Done(int bucket) const;

  /// data[i] = mean over ranks, for host memory of any kind. \pre no bucket is in flight
  absl::Status Mean(absl::Span<float> data, const Patience& patience);

  /// Ends what is in flight, host memory's contents unspecified. Only host() may be called then.
  void Abort();

 private:
  struct Bucket {
    PinnedFloats host;
    DeviceFloats device;
    Event done;
  };

  DeviceBuckets(const GpuLibrary& gpu, const NcclPlace& place);
  absl::Status Allocate(const BucketLayout& layout);
  absl::Status StartMean(absl::Span<float> data, Bucket& bucket, const Patience& patience);

  const GpuLibrary& gpu_;
  const std::string where_;  // rank and device, for errors
  std::vector<Bucket> buckets_;
  size_t largest_ = 0;  // which of them
  Stream stream_;
  // Last, so that it goes first: its kernels use the stream and the buckets. Null in a world of one.
  std::unique_ptr<Communicator> communicator_;
};

}  // namespace sluice
