// Says whether gradients could be reduced on the GPUs of this machine, and if not, why.
// Exit status 0: usable; 1: not.
#include <iostream>

#include "comm/nccl/gpu_probe.h"

int main() {
  sluice::SystemLibraries libraries = sluice::SystemLibraries::FromEnvironment();
  const sluice::GpuProbe probe = sluice::ProbeGpu(libraries);
  std::cout << ToString(probe.report) << "\n";
  return probe.report.usable() ? 0 : 1;
}
