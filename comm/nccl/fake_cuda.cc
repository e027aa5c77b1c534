#include <atomic>
#include <cstring>
#include <map>
#include <memory>

#include "comm/nccl/fake_gpu.h"

/// What cudaEvent_t points to.
struct CUevent_st {
  int64_t recorded = 0;
  std::shared_ptr<std::atomic<int64_t>> reached = std::make_shared<std::atomic<int64_t>>(0);
};

namespace sluice {
namespace {

using Memory = FakeGpu::Memory;

// Returns from the enclosing function when the call is scripted to fail.
#define SLUICE_FAKE_CALL(name)                            \
  if (const int error = FakeGpu::Get().CountCall(name)) { \
    return static_cast<cudaError_t>(error);               \
  }                                                       \
  static_cast<void>(0)

CUresult DriverGetVersion(int* version) {
  *version = CUDA_VERSION;
  return CUDA_SUCCESS;
}

cudaError_t RuntimeGetVersion(int* version) {
  SLUICE_FAKE_CALL("cudaRuntimeGetVersion");
  *version = CUDART_VERSION;
  return cudaSuccess;
}

const char* GetErrorName(cudaError_t error) {
  switch (error) {
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    default:
      return "cudaErrorOther";
  }
}

const char* GetErrorString(cudaError_t error) {
  switch (error) {
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInsufficientDriver:
      return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    default:
      return "some CUDA error";
  }
}

cudaError_t GetDeviceCount(int* count) {
  SLUICE_FAKE_CALL("cudaGetDeviceCount");
  *count = FakeGpu::Get().devices();
  return cudaSuccess;
}

cudaError_t SetDevice(int device) {
  SLUICE_FAKE_CALL("cudaSetDevice");
  if (device < 0 || device >= FakeGpu::Get().devices()) return cudaErrorInvalidDevice;
  FakeGpu::CurrentDevice() = device;
  return cudaSuccess;
}

cudaError_t Malloc(void** data, size_t bytes) {
  SLUICE_FAKE_CALL("cudaMalloc");
  *data = FakeGpu::Get().Allocate(Memory::kDevice, bytes);
  return cudaSuccess;
}

cudaError_t Free(void* data) {
  return FakeGpu::Get().Free(Memory::kDevice, data) ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t HostAlloc(void** data, size_t bytes, unsigned int) {
  SLUICE_FAKE_CALL("cudaHostAlloc");
  *data = FakeGpu::Get().Allocate(Memory::kPinned, bytes);
  return cudaSuccess;
}

cudaError_t FreeHost(void* data) {
  return FakeGpu::Get().Free(Memory::kPinned, data) ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t MemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                        cudaStream_t stream) {
  SLUICE_FAKE_CALL("cudaMemcpyAsync");
  FakeGpu& gpu = FakeGpu::Get();
  const void* on_device = kind == cudaMemcpyHostToDevice ? to : from;
  const void* on_host = kind == cudaMemcpyHostToDevice ? from : to;
  if (stream == nullptr || !gpu.Holds(Memory::kDevice, on_device, bytes) ||
      gpu.Holds(Memory::kDevice, on_host, 1)) {
    return cudaErrorInvalidValue;
  }
  stream->Put([=] { std::memcpy(to, from, bytes); });
  return cudaSuccess;
}

cudaError_t StreamCreateWithFlags(cudaStream_t* stream, unsigned int) {
  SLUICE_FAKE_CALL("cudaStreamCreateWithFlags");
  *stream = FakeGpu::Get().NewStream();
  return cudaSuccess;
}

cudaError_t StreamQuery(cudaStream_t stream) {
  SLUICE_FAKE_CALL("cudaStreamQuery");
  return stream->Idle() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t StreamDestroy(cudaStream_t stream) {
  return FakeGpu::Get().DeleteStream(stream) ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t EventCreateWithFlags(cudaEvent_t* event, unsigned int) {
  SLUICE_FAKE_CALL("cudaEventCreateWithFlags");
  *event = new CUevent_st;
  FakeGpu::Get().AddObjects(1);
  return cudaSuccess;
}

cudaError_t EventRecord(cudaEvent_t event, cudaStream_t stream) {
  SLUICE_FAKE_CALL("cudaEventRecord");
  const int64_t mark = ++event->recorded;
  stream->Put([mark, reached = event->reached] { *reached = mark; });
  return cudaSuccess;
}

cudaError_t EventQuery(cudaEvent_t event) {
  SLUICE_FAKE_CALL("cudaEventQuery");
  return *event->reached == event->recorded ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t EventDestroy(cudaEvent_t event) {
  delete event;
  FakeGpu::Get().AddObjects(-1);
  return cudaSuccess;
}

#undef SLUICE_FAKE_CALL

// The member of the table only checks that the type is right.
template <class F>
void* Erase(F CudaRuntimeTable::*, F function) {
  return reinterpret_cast<void*>(function);
}

}  // namespace

void* FakeCudaSymbol(const std::string& name) {
  using Table = CudaRuntimeTable;
  static const auto* const kSymbols = new std::map<std::string, void*>{
      {"cuDriverGetVersion", reinterpret_cast<void*>(&DriverGetVersion)},
      {"cudaRuntimeGetVersion", Erase(&Table::RuntimeGetVersion, &RuntimeGetVersion)},
      {"cudaGetErrorName", Erase(&Table::GetErrorName, &GetErrorName)},
      {"cudaGetErrorString", Erase(&Table::GetErrorString, &GetErrorString)},
      {"cudaGetDeviceCount", Erase(&Table::GetDeviceCount, &GetDeviceCount)},
      {"cudaSetDevice", Erase(&Table::SetDevice, &SetDevice)},
      {"cudaMalloc", Erase(&Table::Malloc, &Malloc)},
      {"cudaFree", Erase(&Table::Free, &Free)},
      {"cudaHostAlloc", Erase(&Table::HostAlloc, &HostAlloc)},
      {"cudaFreeHost", Erase(&Table::FreeHost, &FreeHost)},
      {"cudaMemcpyAsync", Erase(&Table::MemcpyAsync, &MemcpyAsync)},
      {"cudaStreamCreateWithFlags", Erase(&Table::StreamCreateWithFlags, &StreamCreateWithFlags)},
      {"cudaStreamQuery", Erase(&Table::StreamQuery, &StreamQuery)},
      {"cudaStreamDestroy", Erase(&Table::StreamDestroy, &StreamDestroy)},
      {"cudaEventCreateWithFlags", Erase(&Table::EventCreateWithFlags, &EventCreateWithFlags)},
      {"cudaEventRecord", Erase(&Table::EventRecord, &EventRecord)},
      {"cudaEventQuery", Erase(&Table::EventQuery, &EventQuery)},
      {"cudaEventDestroy", Erase(&Table::EventDestroy, &EventDestroy)},
  };
  const auto symbol = kSymbols->find(name);
  return symbol != kSymbols->end() ? symbol->second : nullptr;
}

}  // namespace sluice
