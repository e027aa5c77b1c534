#include "comm/nccl/library.h"

#include <initializer_list>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace sluice {
namespace {

// Both write 13000 for 13.0 (CUDA) and 22809 for 2.28.9 (NCCL since 2.9).
std::string CudaVersion(int version) {
  return absl::StrCat(version / 1000, ".", version % 1000 / 10);
}
std::string NcclVersion(int version) {
  // Up to 2.8 the digits were closer together: 2708 is 2.7.8.
  const int major = version < 10000 ? version / 1000 : version / 10000;
  const int minor = version < 10000 ? version % 1000 / 100 : version % 10000 / 100;
  return absl::StrCat(major, ".", minor, ".", version % 100);
}

template <class F>
absl::Status Load(SharedLibraries& libraries, void* library, const char* name, F& function) {
  SLUICE_ASSIGN_OR_RETURN(void* symbol, libraries.Symbol(library, name));
  function = reinterpret_cast<F>(symbol);
  return absl::OkStatus();
}

#define SLUICE_LOAD(prefix, name, table) \
  SLUICE_RETURN_IF_ERROR(Load(libraries, library, #prefix #name, table.name))

absl::Status LoadDriver(SharedLibraries& libraries, CudaDriverTable& driver, GpuReport& report) {
  SLUICE_ASSIGN_OR_RETURN(void* library, libraries.Open("libcuda.so.1"));
  SLUICE_LOAD(cu, DriverGetVersion, driver);
  int version = 0;
  if (const CUresult result = driver.DriverGetVersion(&version); result != CUDA_SUCCESS) {
    return absl::UnavailableError(absl::StrCat("cuDriverGetVersion: CUDA error ", result));
  }
  report.driver_version = CudaVersion(version);
  return absl::OkStatus();
}

// The major version is part of the name and of the ABI that the headers describe.
absl::StatusOr<void*> OpenRuntime(SharedLibraries& libraries) {
  return libraries.Open(absl::StrCat("libcudart.so.", CUDART_VERSION / 1000));
}

absl::Status LoadRuntime(SharedLibraries& libraries, CudaRuntimeTable& cuda, GpuReport& report) {
  SLUICE_ASSIGN_OR_RETURN(void* library, OpenRuntime(libraries));
  SLUICE_LOAD(cuda, RuntimeGetVersion, cuda);
  SLUICE_LOAD(cuda, GetErrorName, cuda);
  SLUICE_LOAD(cuda, GetErrorString, cuda);
  SLUICE_LOAD(cuda, GetDeviceCount, cuda);
  SLUICE_LOAD(cuda, SetDevice, cuda);
  SLUICE_LOAD(cuda, Malloc, cuda);
  SLUICE_LOAD(cuda, Free, cuda);
  SLUICE_LOAD(cuda, HostAlloc, cuda);
  SLUICE_LOAD(cuda, FreeHost, cuda);
  SLUICE_LOAD(cuda, MemcpyAsync, cuda);
  SLUICE_LOAD(cuda, StreamCreateWithFlags, cuda);
  SLUICE_LOAD(cuda, StreamQuery, cuda);
  SLUICE_LOAD(cuda, StreamDestroy, cuda);
  SLUICE_LOAD(cuda, EventCreateWithFlags, cuda);
  SLUICE_LOAD(cuda, EventRecord, cuda);
  SLUICE_LOAD(cuda, EventQuery, cuda);
  SLUICE_LOAD(cuda, EventDestroy, cuda);
  int version = 0;
  if (const cudaError_t error = cuda.RuntimeGetVersion(&version); error != cudaSuccess) {
    return absl::UnavailableError(
        absl::StrCat("cudaRuntimeGetVersion: ", cuda.GetErrorString(error)));
  }
  report.runtime_version = CudaVersion(version);
  return absl::OkStatus();
}

absl::Status CountDevices(const CudaRuntimeTable& cuda, GpuReport& report) {
  int devices = 0;
  if (const cudaError_t error = cuda.GetDeviceCount(&devices); error != cudaSuccess) {
    return absl::UnavailableError(
        absl::StrCat("cudaGetDeviceCount: ", cuda.GetErrorString(error), " (", error, ")"));
  }
  if (devices < 1) {
    return absl::UnavailableError(
        "cudaGetDeviceCount: no device; does CUDA_VISIBLE_DEVICES hide it?");
  }
  report.devices = devices;
  return absl::OkStatus();
}

absl::Status CheckNcclVersion(const NcclTable& nccl, GpuReport& report) {
  int version = 0;
  if (const ncclResult_t result = nccl.GetVersion(&version); result != ncclSuccess) {
    return absl::UnavailableError(absl::StrCat("ncclGetVersion: NCCL error ", result));
  }
  report.nccl_version = NcclVersion(version);
  if (version < kMinNcclVersion) {
    return absl::UnavailableError(absl::StrCat("libnccl.so.2 is version ", report.nccl_version,
                                               ", expected ", NcclVersion(kMinNcclVersion),
                                               " or later"));
  }
  return absl::OkStatus();
}

absl::Status LoadNccl(SharedLibraries& libraries, void* library, NcclTable& nccl) {
  SLUICE_LOAD(nccl, GetErrorString, nccl);
  SLUICE_LOAD(nccl, GetLastError, nccl);
  SLUICE_LOAD(nccl, GetUniqueId, nccl);
  SLUICE_LOAD(nccl, CommInitRankConfig, nccl);
  SLUICE_LOAD(nccl, CommGetAsyncError, nccl);
  SLUICE_LOAD(nccl, CommFinalize, nccl);
  SLUICE_LOAD(nccl, CommDestroy, nccl);
  SLUICE_LOAD(nccl, CommAbort, nccl);
  SLUICE_LOAD(nccl, AllReduce, nccl);
  return absl::OkStatus();
}

#undef SLUICE_LOAD

// `report.reached` says where it stopped when this fails.
absl::Status LoadAll(SharedLibraries& libraries, GpuLibrary& gpu, GpuReport& report) {
  report.reached = GpuStep::kDriver;
  SLUICE_RETURN_IF_ERROR(LoadDriver(libraries, gpu.driver, report));
  report.reached = GpuStep::kRuntime;
  SLUICE_RETURN_IF_ERROR(LoadRuntime(libraries, gpu.cuda, report));
  report.reached = GpuStep::kDevices;
  SLUICE_RETURN_IF_ERROR(CountDevices(gpu.cuda, report));
  report.reached = GpuStep::kNccl;
  SLUICE_ASSIGN_OR_RETURN(void* nccl, libraries.Open("libnccl.so.2"));
  SLUICE_RETURN_IF_ERROR(Load(libraries, nccl, "ncclGetVersion", gpu.nccl.GetVersion));
  // Before the other symbols: "too old" says more than the name of one that it lacks.
  report.reached = GpuStep::kVersion;
  SLUICE_RETURN_IF_ERROR(CheckNcclVersion(gpu.nccl, report));
  report.reached = GpuStep::kNccl;
  SLUICE_RETURN_IF_ERROR(LoadNccl(libraries, nccl, gpu.nccl));
  report.reached = GpuStep::kDone;
  return absl::OkStatus();
}

}  // namespace

void DeleteGpuLibrary::operator()(const GpuLibrary* library) const { delete library; }

GpuProbe ProbeGpu(SharedLibraries& libraries) {
  GpuProbe probe;
  GpuLibrary gpu = {};
  const absl::Status status = LoadAll(libraries, gpu, probe.report);
  if (status.ok()) {
    probe.library = GpuLibraryPtr(new GpuLibrary(gpu));
  } else {
    probe.report.why_not = std::string(status.message());
  }
  return probe;
}

}  // namespace sluice
