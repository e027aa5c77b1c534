// What is built where nccl.h is not found: the same functions, which say so.
#include "base/check.h"
#include "comm/nccl/nccl_reducer.h"

namespace sluice {
namespace {

constexpr char kWhy[] =
    "built without NCCL headers; set NCCL_HOME to the folder above "
    "include/nccl.h and build again";

}  // namespace

// None can be made.
void DeleteGpuLibrary::operator()(const GpuLibrary* library) const {
  SLUICE_CHECK(library == nullptr, "no GPU library without NCCL headers");
}

GpuProbe ProbeGpu(SharedLibraries& libraries) {
  GpuProbe probe;
  probe.report.why_not = kWhy;
  return probe;
}

absl::StatusOr<std::string> NewNcclId(const GpuLibrary& gpu) {
  return absl::UnimplementedError(kWhy);
}

absl::StatusOr<std::unique_ptr<Reducer>> CreateNcclReducer(const Reducer::Options& options,
                                                           BucketLayout layout,
                                                           const NcclPlace& place, std::string id,
                                                           const GpuLibrary& gpu) {
  return absl::UnimplementedError(kWhy);
}

}  // namespace sluice
