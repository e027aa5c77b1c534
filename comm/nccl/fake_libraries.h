#pragma once

#include <memory>
#include <string>
#include <vector>

#include "comm/nccl/library.h"
#include "comm/nccl/shared_libraries.h"

namespace sluice {

class FakeGpu;

/// libcuda.so.1, libcudart and libnccl.so.2 without a GPU: device memory is host memory, every
/// stream is a thread that does its work in order, and all-reduces over ranks of this process
/// really form the mean. What it is strict about: copies and collectives must stay inside
/// allocations of the right kind, and a communicator is not usable before NCCL says so.
///
/// Like NCCL with blocking = 0, creation, the first collective and leaving take several looks at
/// ncclCommGetAsyncError. A collective in flight whose peer has left fails with ncclRemoteError on
/// the host, while its kernel waits for an abort.
///
/// C functions have no place for a context, so one instance may exist at a time.
/// \threadsafety any thread
class FakeLibraries : public SharedLibraries {
 public:
  struct Options {
    int devices = 8;
    int nccl_version = NCCL_VERSION_CODE;
    std::vector<std::string> missing;  ///< libraries and symbols that are not found
  };

  explicit FakeLibraries(Options options);
  FakeLibraries() : FakeLibraries(Options()) {}
  ~FakeLibraries() override;

  absl::StatusOr<void*> Open(const std::string& name) override;
  absl::StatusOr<void*> Symbol(void* library, const std::string& name) override;

  /// The n-th call of `function`, from 1, on a thread whose current device is `device` does nothing
  /// and returns `error`. One script per function and device.
  void FailNthCall(int device, const std::string& function, int n, int error);

  /// From now on the device's communicators report `error`.
  void SetAsyncError(int device, ncclResult_t error);

  /// Allocations, streams, events and communicators that were made and not freed.
  int live_objects() const;

 private:
  bool Misses(const std::string& name) const;

  const Options options_;
  std::unique_ptr<FakeGpu> gpu_;
};

}  // namespace sluice
