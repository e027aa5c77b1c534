#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "comm/nccl/shared_libraries.h"

namespace sluice {

struct GpuLibrary;  // comm/nccl/library.h, which needs nccl.h

struct DeleteGpuLibrary {
  void operator()(const GpuLibrary* library) const;
};
using GpuLibraryPtr = std::unique_ptr<const GpuLibrary, DeleteGpuLibrary>;

/// What a GPU data plane needs, in the order in which it is looked for.
enum class GpuStep {
  kHeaders,  ///< nccl.h, when this program was built
  kDriver,   ///< libcuda.so.1
  kRuntime,  ///< libcudart
  kDevices,  ///< at least one
  kNccl,     ///< libnccl.so.2
  kVersion,  ///< NCCL 2.14, the first with communicators that do not block
  kDone,
};

/// What was found on this machine.
struct GpuReport {
  GpuStep reached = GpuStep::kHeaders;  ///< the first step that failed; kDone: usable
  std::string why_not;                  ///< of the failed step; empty when usable
  int devices = 0;                      ///< the rest: 0 or empty while unknown
  std::string driver_version;
  std::string runtime_version;
  std::string nccl_version;

  bool usable() const { return reached == GpuStep::kDone; }
};

/// One line for people:
/// "NCCL: not used: libcuda.so.1: cannot open shared object file: No such file or directory" or
/// "NCCL: usable: NCCL 2.28.9, CUDA driver 13.0, CUDA runtime 13.0, 4 devices".
std::string ToString(const GpuReport& report);

struct GpuProbe {
  GpuReport report;
  GpuLibraryPtr library;  ///< null unless report.usable()
};

/// Looks for all that a GPU data plane needs and stops at the first that is missing. Usable means
/// that everything could be loaded and that the driver counts a device; nothing is tried on it.
/// Costs 0.1 s or so the first time.
GpuProbe ProbeGpu(SharedLibraries& libraries);

}  // namespace sluice
