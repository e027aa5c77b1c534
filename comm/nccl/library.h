#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>
#include <nccl.h>

#include <string>

#include "comm/nccl/gpu_probe.h"

static_assert(SLUICE_HAVE_NCCL, "declare targets that include this by nccl_targets.bzl");

namespace sluice {

/// The functions of libcuda, libcudart and libnccl that we call, found by ProbeGpu. Their types are
/// those of the headers, so a call through a table is checked like a call by name. Nothing is
/// linked: the program starts without any of these libraries.
///
/// Each member is named after its function less the prefix cu, cuda or nccl.

struct CudaDriverTable {
  decltype(&::cuDriverGetVersion) DriverGetVersion;
};

struct CudaRuntimeTable {
  // With overloads in C++: the cast picks the C function, and does not compile if it has changed.
  using MallocFunction = cudaError_t (*)(void**, size_t);
  using HostAllocFunction = cudaError_t (*)(void**, size_t, unsigned int);
  using EventRecordFunction = cudaError_t (*)(cudaEvent_t, cudaStream_t);

  decltype(&::cudaRuntimeGetVersion) RuntimeGetVersion;
  decltype(&::cudaGetErrorName) GetErrorName;
  decltype(&::cudaGetErrorString) GetErrorString;
  decltype(&::cudaGetDeviceCount) GetDeviceCount;
  decltype(&::cudaSetDevice) SetDevice;
  decltype(static_cast<MallocFunction>(&::cudaMalloc)) Malloc;
  decltype(&::cudaFree) Free;
  decltype(static_cast<HostAllocFunction>(&::cudaHostAlloc)) HostAlloc;
  decltype(&::cudaFreeHost) FreeHost;
  decltype(&::cudaMemcpyAsync) MemcpyAsync;
  decltype(&::cudaStreamCreateWithFlags) StreamCreateWithFlags;
  decltype(&::cudaStreamQuery) StreamQuery;
  decltype(&::cudaStreamDestroy) StreamDestroy;
  decltype(&::cudaEventCreateWithFlags) EventCreateWithFlags;
  decltype(static_cast<EventRecordFunction>(&::cudaEventRecord)) EventRecord;
  decltype(&::cudaEventQuery) EventQuery;
  decltype(&::cudaEventDestroy) EventDestroy;
};

struct NcclTable {
  decltype(&::ncclGetVersion) GetVersion;
  decltype(&::ncclGetErrorString) GetErrorString;
  decltype(&::ncclGetLastError) GetLastError;
  decltype(&::ncclGetUniqueId) GetUniqueId;
  decltype(&::ncclCommInitRankConfig) CommInitRankConfig;
  decltype(&::ncclCommGetAsyncError) CommGetAsyncError;
  decltype(&::ncclCommFinalize) CommFinalize;
  decltype(&::ncclCommDestroy) CommDestroy;
  decltype(&::ncclCommAbort) CommAbort;
  decltype(&::ncclAllReduce) AllReduce;
};

/// Complete, or not made at all. Immutable: any thread may share one.
struct GpuLibrary {
  CudaDriverTable driver;
  CudaRuntimeTable cuda;
  NcclTable nccl;
};

/// The first NCCL with ncclCommInitRankConfig and ncclCommFinalize.
inline constexpr int kMinNcclVersion = NCCL_VERSION(2, 14, 0);

}  // namespace sluice
