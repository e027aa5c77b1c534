#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "comm/nccl/library.h"

/// What cudaStream_t points to: a thread that does what is put into it, in order.
struct CUstream_st {
 public:
  CUstream_st();
  ~CUstream_st();  // does what is left
  void Put(std::function<void()> work);
  bool Idle();
  void Drain();

 private:
  void Run();

  std::mutex mu_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> work_;  // the first is being done
  bool stop_ = false;
  std::thread thread_;
};

namespace sluice {

/// The state behind the functions of FakeLibraries. \threadsafety any thread
class FakeGpu {
 public:
  FakeGpu(int devices, int nccl_version) : devices_(devices), nccl_version_(nccl_version) {}

  /// The only one there is; aborts when there is none.
  static FakeGpu& Get();
  static void Set(FakeGpu* gpu);

  int devices() const { return devices_; }
  int nccl_version() const { return nccl_version_; }

  /// Of the calling thread.
  static int& CurrentDevice();

  void Script(int device, const std::string& function, int n, int error);
  /// Counts a call on this thread's device; the error that it is scripted to return, or 0.
  int CountCall(const std::string& function);

  void SetAsyncError(int device, ncclResult_t error);
  ncclResult_t AsyncError(int device);

  enum class Memory { kDevice, kPinned };
  void* Allocate(Memory kind, size_t bytes);
  /// Waits for the device's streams first, as CUDA does. \return false: no such allocation
  bool Free(Memory kind, void* data);
  /// Whether [data, data + bytes) lies in one allocation of the kind.
  bool Holds(Memory kind, const void* data, size_t bytes);

  CUstream_st* NewStream();
  bool DeleteStream(CUstream_st* stream);

  /// Events and communicators are counted only.
  void AddObjects(int n);
  int live_objects();

 private:
  struct CallScript {
    int n = 0;
    int error = 0;
  };
  struct Block {
    Memory kind;
    size_t bytes;
    std::unique_ptr<char[]> data;
  };
  struct OwnedStream {
    int device;
    std::unique_ptr<CUstream_st> stream;
  };

  const int devices_;
  const int nccl_version_;
  std::mutex mu_;
  std::map<std::pair<int, std::string>, int> calls_;
  std::map<std::pair<int, std::string>, CallScript> scripts_;
  std::map<int, ncclResult_t> async_errors_;
  std::map<const char*, Block> blocks_;  // by address
  std::map<CUstream_st*, OwnedStream> streams_;
  int objects_ = 0;
};

/// The tables, by name of the function. Null: none of that name.
void* FakeCudaSymbol(const std::string& name);
void* FakeNcclSymbol(const std::string& name);

}  // namespace sluice
