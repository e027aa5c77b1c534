#include "comm/nccl/gpu_probe.h"

#include <string>
#include <vector>

#include "comm/nccl/fake_libraries.h"
#include "comm/nccl/library.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

GpuProbe ProbeWith(const FakeLibraries::Options& options) {
  FakeLibraries libraries(options);
  return ProbeGpu(libraries);
}

TEST(GpuProbe, NamesTheFirstStepThatFails) {
  const std::string runtime = "libcudart.so." + std::to_string(CUDART_VERSION / 1000);
  const std::string not_there = ": cannot open shared object file: No such file or directory";
  struct Case {
    FakeLibraries::Options options;
    GpuStep step;
    std::string why;
  };
  const std::vector<Case> cases = {
      {{8, NCCL_VERSION_CODE, {"libcuda.so.1"}}, GpuStep::kDriver, "libcuda.so.1" + not_there},
      {{8, NCCL_VERSION_CODE, {runtime}}, GpuStep::kRuntime, runtime + not_there},
      {{0, NCCL_VERSION_CODE, {}},
       GpuStep::kDevices,
       "cudaGetDeviceCount: no device; does CUDA_VISIBLE_DEVICES hide it?"},
      {{8, NCCL_VERSION_CODE, {"libnccl.so.2"}}, GpuStep::kNccl, "libnccl.so.2" + not_there},
      {{8, 21304, {}},
       GpuStep::kVersion,
       "libnccl.so.2 is version 2.13.4, expected 2.14.0 or later"},
      {{8, 2708, {}}, GpuStep::kVersion, "libnccl.so.2 is version 2.7.8, expected 2.14.0 or later"},
  };
  for (const Case& c : cases) {
    const GpuProbe probe = ProbeWith(c.options);
    EXPECT_EQ(probe.report.reached, c.step) << c.why;
    EXPECT_EQ(ToString(probe.report), "NCCL: not used: " + c.why);
    EXPECT_EQ(probe.library, nullptr) << c.why;
  }
}

TEST(GpuProbe, LooksInTheDocumentedOrder) {
  // Everything is wrong; one repair at a time reaches the next step.
  const std::string runtime = "libcudart.so." + std::to_string(CUDART_VERSION / 1000);
  FakeLibraries::Options options{0, 21000, {"libnccl.so.2", runtime, "libcuda.so.1"}};
  EXPECT_EQ(ProbeWith(options).report.reached, GpuStep::kDriver);
  options.missing.pop_back();
  EXPECT_EQ(ProbeWith(options).report.reached, GpuStep::kRuntime);
  options.missing.pop_back();
  EXPECT_EQ(ProbeWith(options).report.reached, GpuStep::kDevices);
  options.devices = 1;
  EXPECT_EQ(ProbeWith(options).report.reached, GpuStep::kNccl);
  options.missing.pop_back();
  EXPECT_EQ(ProbeWith(options).report.reached, GpuStep::kVersion);
  options.nccl_version = kMinNcclVersion;
  EXPECT_EQ(ProbeWith(options).report.reached, GpuStep::kDone);
}

TEST(GpuProbe, AMissingSymbolIsNamed) {
  const GpuProbe cuda = ProbeWith({8, NCCL_VERSION_CODE, {"cudaHostAlloc"}});
  EXPECT_EQ(cuda.report.reached, GpuStep::kRuntime);
  EXPECT_EQ(cuda.report.why_not, "libcudart.so.: undefined symbol: cudaHostAlloc");
  const GpuProbe nccl = ProbeWith({8, NCCL_VERSION_CODE, {"ncclCommAbort"}});
  EXPECT_EQ(nccl.report.reached, GpuStep::kNccl);
  EXPECT_EQ(nccl.report.why_not, "libnccl.so.2: undefined symbol: ncclCommAbort");
  EXPECT_EQ(nccl.library, nullptr);
}

TEST(GpuProbe, AnOldNcclIsCalledOldEvenIfItLacksSymbols) {
  const GpuProbe probe = ProbeWith({8, 21304, {"ncclCommInitRankConfig", "ncclCommFinalize"}});
  EXPECT_EQ(probe.report.reached, GpuStep::kVersion);
}

TEST(GpuProbe, AnErrorOfTheDriverIsPassedOn) {
  FakeLibraries libraries;
  libraries.FailNthCall(0, "cudaGetDeviceCount", 1, cudaErrorInsufficientDriver);
  EXPECT_EQ(ToString(ProbeGpu(libraries).report),
            "NCCL: not used: cudaGetDeviceCount: CUDA driver version is insufficient for CUDA "
            "runtime version (35)");
}

TEST(GpuProbe, SaysWhatItFoundWhenAllIsThere) {
  const GpuProbe probe = ProbeWith({4, 22809, {}});
  ASSERT_NE(probe.library, nullptr);
  const std::string cuda =
      std::to_string(CUDART_VERSION / 1000) + "." + std::to_string(CUDART_VERSION % 1000 / 10);
  EXPECT_EQ(ToString(probe.report), "NCCL: usable: NCCL 2.28.9, CUDA driver " + cuda +
                                        ", CUDA runtime " + cuda + ", 4 devices");
}

}  // namespace
}  // namespace sluice
