#include "absl/strings/str_cat.h"
#include "comm/nccl/gpu_probe.h"

namespace sluice {

std::string ToString(const GpuReport& report) {
  if (!report.usable()) return absl::StrCat("NCCL: not used: ", report.why_not);
  return absl::StrCat("NCCL: usable: NCCL ", report.nccl_version, ", CUDA driver ",
                      report.driver_version, ", CUDA runtime ", report.runtime_version, ", ",
                      report.devices, report.devices == 1 ? " device" : " devices");
}

}  // namespace sluice
