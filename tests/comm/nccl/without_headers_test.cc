// Links what is built where nccl.h is not found, whether it is found here or not.
#include "comm/nccl/nccl_reducer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

TEST(WithoutHeaders, TheProbeSaysWhatToSet) {
  SystemLibraries libraries = SystemLibraries::FromEnvironment();
  const GpuProbe probe = ProbeGpu(libraries);
  EXPECT_EQ(probe.report.reached, GpuStep::kHeaders);
  EXPECT_FALSE(probe.report.usable());
  EXPECT_EQ(probe.library, nullptr);
  EXPECT_THAT(ToString(probe.report),
              testing::StartsWith("NCCL: not used: built without NCCL headers; set NCCL_HOME"));
}

}  // namespace
}  // namespace sluice
