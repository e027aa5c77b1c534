#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "comm/nccl/library.h"
#include "comm/nccl/poll.h"

namespace sluice {

/// RAII of what CUDA hands out. Each belongs to the device that was current on the creating thread;
/// `gpu` must outlive it. Moved-from and default objects are empty.

/// Floats on the device, uninitialised.
class DeviceFloats {
 public:
  DeviceFloats() = default;
  /// \pre elements > 0  \error kResourceExhausted with the bytes asked for
  static absl::StatusOr<DeviceFloats> Create(const GpuLibrary& gpu, int64_t elements);
  DeviceFloats(DeviceFloats&& other) noexcept;
  DeviceFloats& operator=(DeviceFloats&& other) noexcept;
  ~DeviceFloats();

  float* data() const { return data_; }  ///< an address on the device
  int64_t size() const { return size_; }

 private:
  const GpuLibrary* gpu_ = nullptr;
  float* data_ = nullptr;
  int64_t size_ = 0;
};

/// Zeros in page-locked host memory: at a page boundary, copied to and from the device without the
/// CPU.
class PinnedFloats {
 public:
  PinnedFloats() = default;
  /// \pre elements > 0  \error kResourceExhausted with the bytes asked for
  static absl::StatusOr<PinnedFloats> Create(const GpuLibrary& gpu, int64_t elements);
  PinnedFloats(PinnedFloats&& other) noexcept;
  PinnedFloats& operator=(PinnedFloats&& other) noexcept;
  ~PinnedFloats();

  absl::Span<float> span() const { return {data_, static_cast<size_t>(size_)}; }

 private:
  const GpuLibrary* gpu_ = nullptr;
  float* data_ = nullptr;
  int64_t size_ = 0;
};

/// A queue of work on the device, beside the default stream.
class Stream {
 public:
  Stream() = default;
  static absl::StatusOr<Stream> Create(const GpuLibrary& gpu);
  Stream(Stream&& other) noexcept;
  Stream& operator=(Stream&& other) noexcept;
  /// Does not wait for the work: see Drain.
  ~Stream();

  cudaStream_t get() const { return stream_; }

  /// Returns at once; `from` and `to` must stay until the copy has been done.
  absl::Status CopyToDevice(absl::Span<const float> from, const DeviceFloats& to);
  absl::Status CopyToHost(const DeviceFloats& from, absl::Span<float> to);

  /// Waits until all is done.
  absl::Status Drain(const Patience& patience);

 private:
  const GpuLibrary* gpu_ = nullptr;
  cudaStream_t stream_ = nullptr;
};

/// A mark in a stream.
class Event {
 public:
  Event() = default;
  static absl::StatusOr<Event> Create(const GpuLibrary& gpu);
  Event(Event&& other) noexcept;
  Event& operator=(Event&& other) noexcept;
  ~Event();

  absl::Status Record(const Stream& stream);
  /// Whether the stream has come to the last mark. \error of the work before it
  absl::StatusOr<bool> Reached() const;

 private:
  const GpuLibrary* gpu_ = nullptr;
  cudaEvent_t event_ = nullptr;
};

}  // namespace sluice
