#include "comm/nccl/device_memory.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "comm/nccl/gpu_status.h"

namespace sluice {

absl::StatusOr<DeviceFloats> DeviceFloats::Create(const GpuLibrary& gpu, int64_t elements) {
  void* data = nullptr;
  const size_t bytes = elements * sizeof(float);
  SLUICE_RETURN_IF_ERROR(FromCuda(gpu, gpu.cuda.Malloc(&data, bytes),
                                  absl::StrCat("cudaMalloc of ", bytes, " bytes")));
  DeviceFloats floats;
  floats.gpu_ = &gpu;
  floats.data_ = static_cast<float*>(data);
  floats.size_ = elements;
  return floats;
}

DeviceFloats::DeviceFloats(DeviceFloats&& other) noexcept { *this = std::move(other); }

DeviceFloats& DeviceFloats::operator=(DeviceFloats&& other) noexcept {
  std::swap(gpu_, other.gpu_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

DeviceFloats::~DeviceFloats() {
  if (data_ != nullptr) gpu_->cuda.Free(data_);
}

absl::StatusOr<PinnedFloats> PinnedFloats::Create(const GpuLibrary& gpu, int64_t elements) {
  void* data = nullptr;
  const size_t bytes = elements * sizeof(float);
  SLUICE_RETURN_IF_ERROR(FromCuda(gpu, gpu.cuda.HostAlloc(&data, bytes, cudaHostAllocDefault),
                                  absl::StrCat("cudaHostAlloc of ", bytes, " bytes")));
  PinnedFloats floats;
  floats.gpu_ = &gpu;
  floats.data_ = static_cast<float*>(data);
  floats.size_ = elements;
  std::fill_n(floats.data_, elements, 0.0f);
  return floats;
}

PinnedFloats::PinnedFloats(PinnedFloats&& other) noexcept { *this = std::move(other); }

PinnedFloats& PinnedFloats::operator=(PinnedFloats&& other) noexcept {
  std::swap(gpu_, other.gpu_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

PinnedFloats::~PinnedFloats() {
  if (data_ != nullptr) gpu_->cuda.FreeHost(data_);
}

absl::StatusOr<Stream> Stream::Create(const GpuLibrary& gpu) {
  Stream stream;
  SLUICE_RETURN_IF_ERROR(
      FromCuda(gpu, gpu.cuda.StreamCreateWithFlags(&stream.stream_, cudaStreamNonBlocking),
               "cudaStreamCreateWithFlags"));
  stream.gpu_ = &gpu;
  return stream;
}

Stream::Stream(Stream&& other) noexcept { *this = std::move(other); }

Stream& Stream::operator=(Stream&& other) noexcept {
  std::swap(gpu_, other.gpu_);
  std::swap(stream_, other.stream_);
  return *this;
}

Stream::~Stream() {
  if (stream_ != nullptr) gpu_->cuda.StreamDestroy(stream_);
}

// Messages are made only for errors: these run in every step.
absl::Status Stream::CopyToDevice(absl::Span<const float> from, const DeviceFloats& to) {
  SLUICE_CHECK(static_cast<int64_t>(from.size()) <= to.size(), "a copy fits");
  const size_t bytes = from.size() * sizeof(float);
  const cudaError_t error =
      gpu_->cuda.MemcpyAsync(to.data(), from.data(), bytes, cudaMemcpyHostToDevice, stream_);
  if (error == cudaSuccess) return absl::OkStatus();
  return FromCuda(*gpu_, error, absl::StrCat("cudaMemcpyAsync of ", bytes, " bytes to the device"));
}

absl::Status Stream::CopyToHost(const DeviceFloats& from, absl::Span<float> to) {
  SLUICE_CHECK(static_cast<int64_t>(to.size()) <= from.size(), "a copy fits");
  const size_t bytes = to.size() * sizeof(float);
  const cudaError_t error =
      gpu_->cuda.MemcpyAsync(to.data(), from.data(), bytes, cudaMemcpyDeviceToHost, stream_);
  if (error == cudaSuccess) return absl::OkStatus();
  return FromCuda(*gpu_, error, absl::StrCat("cudaMemcpyAsync of ", bytes, " bytes to the host"));
}

absl::Status Stream::Drain(const Patience& patience) {
  if (stream_ == nullptr) return absl::OkStatus();
  const auto idle = [&]() -> absl::StatusOr<bool> {
    const cudaError_t error = gpu_->cuda.StreamQuery(stream_);
    if (error == cudaErrorNotReady) return false;
    if (error == cudaSuccess) return true;
    return FromCuda(*gpu_, error, "cudaStreamQuery");
  };
  return Annotate(PollUntil(idle, patience), "waiting for the stream");
}

absl::StatusOr<Event> Event::Create(const GpuLibrary& gpu) {
  Event event;
  SLUICE_RETURN_IF_ERROR(
      FromCuda(gpu, gpu.cuda.EventCreateWithFlags(&event.event_, cudaEventDisableTiming),
               "cudaEventCreateWithFlags"));
  event.gpu_ = &gpu;
  return event;
}

Event::Event(Event&& other) noexcept { *this = std::move(other); }

Event& Event::operator=(Event&& other) noexcept {
  std::swap(gpu_, other.gpu_);
  std::swap(event_, other.event_);
  return *this;
}

Event::~Event() {
  if (event_ != nullptr) gpu_->cuda.EventDestroy(event_);
}

absl::Status Event::Record(const Stream& stream) {
  const cudaError_t error = gpu_->cuda.EventRecord(event_, stream.get());
  return error == cudaSuccess ? absl::OkStatus() : FromCuda(*gpu_, error, "cudaEventRecord");
}

absl::StatusOr<bool> Event::Reached() const {
  const cudaError_t error = gpu_->cuda.EventQuery(event_);
  if (error == cudaErrorNotReady) return false;
  if (error == cudaSuccess) return true;
  return FromCuda(*gpu_, error, "cudaEventQuery");
}

}  // namespace sluice
