#include "comm/nccl/fake_libraries.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "comm/nccl/fake_gpu.h"

namespace sluice {
namespace {

// Their addresses are the handles.
char cuda_library[] = "libcuda.so.1";
char runtime_library[] = "libcudart.so.";  // and any version
char nccl_library[] = "libnccl.so.2";

}  // namespace

FakeLibraries::FakeLibraries(Options options)
    : options_(std::move(options)),
      gpu_(std::make_unique<FakeGpu>(options_.devices, options_.nccl_version)) {
  FakeGpu::Set(gpu_.get());
}

FakeLibraries::~FakeLibraries() { FakeGpu::Set(nullptr); }

bool FakeLibraries::Misses(const std::string& name) const {
  return std::count(options_.missing.begin(), options_.missing.end(), name) > 0;
}

absl::StatusOr<void*> FakeLibraries::Open(const std::string& name) {
  for (char* library : {cuda_library, runtime_library, nccl_library}) {
    if (absl::StartsWith(name, library) && !Misses(name)) return library;
  }
  // What dlerror says.
  return absl::NotFoundError(
      absl::StrCat(name, ": cannot open shared object file: No such file or directory"));
}

absl::StatusOr<void*> FakeLibraries::Symbol(void* library, const std::string& name) {
  void* symbol = library == nccl_library ? FakeNcclSymbol(name) : FakeCudaSymbol(name);
  if (symbol == nullptr || Misses(name)) {
    return absl::NotFoundError(
        absl::StrCat(static_cast<char*>(library), ": undefined symbol: ", name));
  }
  return symbol;
}

void FakeLibraries::FailNthCall(int device, const std::string& function, int n, int error) {
  gpu_->Script(device, function, n, error);
}

void FakeLibraries::SetAsyncError(int device, ncclResult_t error) {
  gpu_->SetAsyncError(device, error);
}

int FakeLibraries::live_objects() const { return gpu_->live_objects(); }

}  // namespace sluice
