#include "comm/nccl/fake_gpu.h"

#include <algorithm>
#include <vector>

#include "base/check.h"

CUstream_st::CUstream_st() : thread_([this] { Run(); }) {}

CUstream_st::~CUstream_st() {
  {
    const std::lock_guard<std::mutex> lock(mu_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void CUstream_st::Put(std::function<void()> work) {
  const std::lock_guard<std::mutex> lock(mu_);
  work_.push_back(std::move(work));
  changed_.notify_all();
}

bool CUstream_st::Idle() {
  const std::lock_guard<std::mutex> lock(mu_);
  return work_.empty();
}

void CUstream_st::Drain() {
  std::unique_lock<std::mutex> lock(mu_);
  changed_.wait(lock, [&] { return work_.empty(); });
}

void CUstream_st::Run() {
  std::unique_lock<std::mutex> lock(mu_);
  for (;;) {
    changed_.wait(lock, [&] { return stop_ || !work_.empty(); });
    if (work_.empty()) return;
    const std::function<void()>& work = work_.front();  // stays in place while others are added
    lock.unlock();
    work();
    lock.lock();
    work_.pop_front();
    changed_.notify_all();
  }
}

namespace sluice {
namespace {

FakeGpu* the_gpu = nullptr;  // set before and after threads that use it

}  // namespace

FakeGpu& FakeGpu::Get() {
  SLUICE_CHECK(the_gpu != nullptr, "FakeLibraries outlives the calls of its functions");
  return *the_gpu;
}

void FakeGpu::Set(FakeGpu* gpu) {
  SLUICE_CHECK(gpu == nullptr || the_gpu == nullptr, "one FakeLibraries at a time");
  the_gpu = gpu;
}

int& FakeGpu::CurrentDevice() {
  thread_local int device = 0;
  return device;
}

void FakeGpu::Script(int device, const std::string& function, int n, int error) {
  const std::lock_guard<std::mutex> lock(mu_);
  scripts_[{device, function}] = {n, error};
}

int FakeGpu::CountCall(const std::string& function) {
  const std::lock_guard<std::mutex> lock(mu_);
  const std::pair<int, std::string> key(CurrentDevice(), function);
  const int n = ++calls_[key];
  const auto script = scripts_.find(key);
  return script != scripts_.end() && script->second.n == n ? script->second.error : 0;
}

void FakeGpu::SetAsyncError(int device, ncclResult_t error) {
  const std::lock_guard<std::mutex> lock(mu_);
  async_errors_[device] = error;
}

ncclResult_t FakeGpu::AsyncError(int device) {
  const std::lock_guard<std::mutex> lock(mu_);
  const auto error = async_errors_.find(device);
  return error != async_errors_.end() ? error->second : ncclSuccess;
}

void* FakeGpu::Allocate(Memory kind, size_t bytes) {
  const std::lock_guard<std::mutex> lock(mu_);
  // Aligned like CUDA's to 256 bytes, and filled with what is no use to anybody.
  auto data = std::make_unique<char[]>(bytes + 256);
  std::fill_n(data.get(), bytes + 256, '\xff');
  const auto address = reinterpret_cast<uintptr_t>(data.get());
  char* const aligned = data.get() + (256 - address % 256) % 256;
  blocks_[aligned] = {kind, bytes, std::move(data)};
  return aligned;
}

bool FakeGpu::Free(Memory kind, void* data) {
  std::vector<CUstream_st*> streams;
  {
    const std::lock_guard<std::mutex> lock(mu_);
    for (const auto& [stream, owned] : streams_) {
      if (owned.device == CurrentDevice()) streams.push_back(stream);
    }
  }
  for (CUstream_st* stream : streams) stream->Drain();
  const std::lock_guard<std::mutex> lock(mu_);
  const auto block = blocks_.find(static_cast<const char*>(data));
  if (block == blocks_.end() || block->second.kind != kind) return false;
  blocks_.erase(block);
  return true;
}

bool FakeGpu::Holds(Memory kind, const void* data, size_t bytes) {
  const std::lock_guard<std::mutex> lock(mu_);
  const char* const begin = static_cast<const char*>(data);
  auto block = blocks_.upper_bound(begin);
  if (block == blocks_.begin()) return false;
  --block;
  return block->second.kind == kind && begin + bytes <= block->first + block->second.bytes;
}

CUstream_st* FakeGpu::NewStream() {
  const std::lock_guard<std::mutex> lock(mu_);
  auto stream = std::make_unique<CUstream_st>();
  CUstream_st* const handle = stream.get();
  streams_[handle] = {CurrentDevice(), std::move(stream)};
  return handle;
}

bool FakeGpu::DeleteStream(CUstream_st* stream) {
  OwnedStream owned;  // goes after the lock: work that is left may want it
  const std::lock_guard<std::mutex> lock(mu_);
  const auto found = streams_.find(stream);
  if (found == streams_.end()) return false;
  owned = std::move(found->second);
  streams_.erase(found);
  return true;
}

void FakeGpu::AddObjects(int n) {
  const std::lock_guard<std::mutex> lock(mu_);
  objects_ += n;
}

int FakeGpu::live_objects() {
  const std::lock_guard<std::mutex> lock(mu_);
  return objects_ + static_cast<int>(blocks_.size() + streams_.size());
}

}  // namespace sluice
