// What this machine really has. Without a GPU it checks that the probe says so; with one it reduces
// on it. It can be run anywhere and passes only if what the probe says is true.
#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "comm/nccl/communicator.h"
#include "comm/nccl/device_memory.h"
#include "comm/nccl/library.h"
#include "comm/nccl/nccl_reducer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/comm/nccl/nccl_world.h"

namespace sluice {
namespace {

using testing::HasSubstr;

// A mean over one rank: the smallest thing that goes through a device and NCCL.
void ReduceAlone(const GpuLibrary& gpu) {
  ASSERT_EQ(gpu.cuda.SetDevice(0), cudaSuccess);
  const Patience patience{PollClock::now() + std::chrono::seconds(50), NoInterruption};
  auto host = PinnedFloats::Create(gpu, 1000);
  auto device = DeviceFloats::Create(gpu, 1000);
  auto stream = Stream::Create(gpu);
  ASSERT_TRUE(host.ok() && device.ok() && stream.ok());
  const auto id = NewNcclId(gpu);
  ASSERT_TRUE(id.ok()) << id.status();
  auto communicator = Communicator::Create(gpu, 1, Rank(0), *id, patience);
  ASSERT_TRUE(communicator.ok()) << communicator.status();
  std::vector<float> expected(1000);
  for (int i = 0; i < 1000; ++i) host->span()[i] = expected[i] = static_cast<float>(i);
  ASSERT_TRUE(stream->CopyToDevice(host->span(), *device).ok());
  ASSERT_TRUE((*communicator)->AllReduceMean(*device, 1000, *stream, patience).ok());
  std::fill(host->span().begin(), host->span().end(), -1.0f);
  ASSERT_TRUE(stream->CopyToHost(*device, host->span()).ok());
  ASSERT_TRUE(stream->Drain(patience).ok());
  EXPECT_EQ(std::vector<float>(host->span().begin(), host->span().end()), expected);
}

TEST(RealGpu, TheProbeGivesAReasonOrTheDeviceReduces) {
  SystemLibraries libraries = SystemLibraries::FromEnvironment();
  const GpuProbe probe = ProbeGpu(libraries);
  RecordProperty("gpu", ToString(probe.report));
  if (!probe.report.usable()) {
    EXPECT_EQ(probe.library, nullptr);
    EXPECT_NE(probe.report.reached, GpuStep::kHeaders) << "this test was built with headers";
    EXPECT_FALSE(probe.report.why_not.empty());
    EXPECT_EQ(ToString(probe.report), "NCCL: not used: " + probe.report.why_not);
    return;
  }
  ASSERT_NE(probe.library, nullptr);
  ReduceAlone(*probe.library);
  const int ranks = std::min(probe.report.devices, 8);
  NcclWorld(*probe.library, ranks).Run([&](Rank rank, Reducer& reducer) {
    for (int64_t s = 0; s < 3; ++s) {
      const auto stats = RunNcclStep(reducer, Step(s), rank);
      ASSERT_TRUE(stats.ok()) << stats.status();
      EXPECT_EQ(WrongMeans(reducer, Step(s)), 0) << rank << " of " << ranks;
    }
  });
}

int DriverVersion(int* version) {
  *version = 0;
  return 0;
}
int OneDevice(int* count) {
  *count = 1;
  return 0;
}

// This machine's libcudart and libnccl behind a driver that pretends to be there.
class PretendedDriver : public SharedLibraries {
 public:
  absl::StatusOr<void*> Open(const std::string& name) override {
    return name == "libcuda.so.1" ? this : libraries_.Open(name);
  }
  absl::StatusOr<void*> Symbol(void* library, const std::string& name) override {
    if (library == this) return reinterpret_cast<void*>(&DriverVersion);
    if (name == "cudaGetDeviceCount") return reinterpret_cast<void*>(&OneDevice);
    return libraries_.Symbol(library, name);
  }

 private:
  SystemLibraries libraries_ = SystemLibraries::FromEnvironment();
};

TEST(RealGpu, InstalledLibrariesHaveEveryFunctionThatWeCall) {
  PretendedDriver libraries;
  const GpuReport report = ProbeGpu(libraries).report;
  RecordProperty("behind_a_pretended_driver", ToString(report));  // says nothing of a GPU
  if (report.usable()) {
    EXPECT_GE(report.nccl_version.size(), 5u) << report.nccl_version;
    return;
  }
  EXPECT_TRUE(report.reached == GpuStep::kRuntime || report.reached == GpuStep::kNccl ||
              report.reached == GpuStep::kVersion);
  // Absent or too old is a fact of the machine; a missing function would be a fault of ours.
  EXPECT_THAT(report.why_not, testing::Not(HasSubstr("undefined symbol")));
}

}  // namespace
}  // namespace sluice
