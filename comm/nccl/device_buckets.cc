#include "comm/nccl/device_buckets.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "comm/nccl/gpu_status.h"

namespace sluice {
namespace {

// What is left in a stream after an abort are copies.
constexpr std::chrono::seconds kDrainTimeout{1};

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceBuckets>> DeviceBuckets::Create(const GpuLibrary& gpu,
                                                                     const BucketLayout& layout,
                                                                     const NcclPlace& place,
                                                                     absl::string_view id,
                                                                     const Patience& patience) {
  auto buckets = std::unique_ptr<DeviceBuckets>(new DeviceBuckets(gpu, place));
  SLUICE_RETURN_IF_ERROR_AT(FromCuda(gpu, gpu.cuda.SetDevice(place.device), "cudaSetDevice"),
                            buckets->where_);
  SLUICE_RETURN_IF_ERROR_AT(buckets->Allocate(layout), buckets->where_);
  if (layout.world_size() == 1) return buckets;
  auto communicator = Communicator::Create(gpu, layout.world_size(), place.self, id, patience);
  SLUICE_RETURN_IF_ERROR_AT(communicator.status(), buckets->where_);
  buckets->communicator_ = *std::move(communicator);
  return buckets;
}

DeviceBuckets::DeviceBuckets(const GpuLibrary& gpu, const NcclPlace& place)
    : gpu_(gpu), where_(absl::StrCat(ToString(place.self), " device ", place.device)) {}

DeviceBuckets::~DeviceBuckets() {
  const bool idle = stream_.Drain({PollClock::now(), NoInterruption}).ok();
  if (!idle) Abort();
}

absl::Status DeviceBuckets::Allocate(const BucketLayout& layout) {
  SLUICE_ASSIGN_OR_RETURN(stream_, Stream::Create(gpu_));
  for (const BucketLayout::Bucket& shape : layout.buckets()) {
    Bucket& bucket = buckets_.emplace_back();
    SLUICE_ASSIGN_OR_RETURN(bucket.host, PinnedFloats::Create(gpu_, shape.elements));
    SLUICE_ASSIGN_OR_RETURN(bucket.device, DeviceFloats::Create(gpu_, shape.elements));
    SLUICE_ASSIGN_OR_RETURN(bucket.done, Event::Create(gpu_));
    if (bucket.device.size() > buckets_[largest_].device.size()) largest_ = buckets_.size() - 1;
  }
  return absl::OkStatus();
}

absl::Status DeviceBuckets::Start(int bucket, const Patience& patience) {
  if (communicator_ == nullptr) return absl::OkStatus();
  return Annotate(StartMean(buckets_[bucket].host.span(), buckets_[bucket], patience), where_);
}

absl::Status DeviceBuckets::StartMean(absl::Span<float> data, Bucket& bucket,
                                      const Patience& patience) {
  SLUICE_RETURN_IF_ERROR(stream_.CopyToDevice(data, bucket.device));
  SLUICE_RETURN_IF_ERROR(communicator_->AllReduceMean(
      bucket.device, static_cast<int64_t>(data.size()), stream_, patience));
  SLUICE_RETURN_IF_ERROR(stream_.CopyToHost(bucket.device, data));
  return bucket.done.Record(stream_);
}

absl::StatusOr<bool> DeviceBuckets::Done(int bucket) const {
  if (communicator_ == nullptr) return true;
  const absl::StatusOr<bool> done = buckets_[bucket].done.Reached();
  SLUICE_RETURN_IF_ERROR_AT(done.status(), where_);
  // NCCL learns of a lost peer on the host; the kernel on the device would wait for ever.
  if (!*done) SLUICE_RETURN_IF_ERROR_AT(communicator_->Health(), where_);
  return done;
}

absl::Status DeviceBuckets::Mean(absl::Span<float> data, const Patience& patience) {
  if (communicator_ == nullptr) return absl::OkStatus();
  Bucket& scratch = buckets_[largest_];
  while (!data.empty()) {
    const size_t n = std::min(data.size(), static_cast<size_t>(scratch.device.size()));
    SLUICE_RETURN_IF_ERROR_AT(StartMean(data.first(n), scratch, patience), where_);
    SLUICE_RETURN_IF_ERROR(PollUntil([&] { return Done(static_cast<int>(largest_)); }, patience));
    data.remove_prefix(n);
  }
  return absl::OkStatus();
}

void DeviceBuckets::Abort() {
  if (communicator_ != nullptr) communicator_->Abort();
  // Else a copy could still write to memory that has been freed, or that the step loop writes to.
  // An error leaves nothing to do: the device is lost, and with it the copy.
  (void)stream_.Drain({PollClock::now() + kDrainTimeout, NoInterruption});
}

}  // namespace sluice
