#include "comm/nccl/gpu_status.h"

#include "comm/nccl/fake_libraries.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

class GpuStatusTest : public testing::Test {
 protected:
  FakeLibraries libraries_;
  GpuLibraryPtr gpu_ = ProbeGpu(libraries_).library;
};

TEST_F(GpuStatusTest, SuccessIsOk) {
  EXPECT_TRUE(FromCuda(*gpu_, cudaSuccess, "cudaMalloc").ok());
  EXPECT_TRUE(FromNccl(*gpu_, ncclSuccess, nullptr, "ncclAllReduce").ok());
}

TEST_F(GpuStatusTest, CudaErrorsKeepOperationTextAndName) {
  const absl::Status status = FromCuda(*gpu_, cudaErrorMemoryAllocation, "cudaMalloc of 8 bytes");
  EXPECT_EQ(status, absl::ResourceExhaustedError(
                        "cudaMalloc of 8 bytes: out of memory (cudaErrorMemoryAllocation)"));
}

TEST_F(GpuStatusTest, CudaErrorsAreSortedByCause) {
  const auto code = [&](cudaError_t error) { return FromCuda(*gpu_, error, "x").code(); };
  EXPECT_EQ(code(cudaErrorNoDevice), absl::StatusCode::kUnavailable);
  EXPECT_EQ(code(cudaErrorInsufficientDriver), absl::StatusCode::kUnavailable);
  EXPECT_EQ(code(cudaErrorInvalidDevice), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(cudaErrorIllegalAddress), absl::StatusCode::kInternal);
}

TEST_F(GpuStatusTest, NcclErrorsAreSortedByCause) {
  const auto code = [&](ncclResult_t r) { return FromNccl(*gpu_, r, nullptr, "x").code(); };
  EXPECT_EQ(code(ncclRemoteError), absl::StatusCode::kUnavailable);
  EXPECT_EQ(code(ncclSystemError), absl::StatusCode::kUnavailable);
  EXPECT_EQ(code(ncclInvalidArgument), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(ncclInvalidUsage), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(code(ncclUnhandledCudaError), absl::StatusCode::kInternal);
  EXPECT_EQ(code(ncclInternalError), absl::StatusCode::kInternal);
}

TEST_F(GpuStatusTest, NcclErrorsCarryItsLastError) {
  libraries_.FailNthCall(0, "ncclGetUniqueId", 1, ncclSystemError);
  ncclUniqueId id;
  const absl::Status status =
      FromNccl(*gpu_, gpu_->nccl.GetUniqueId(&id), nullptr, "ncclGetUniqueId");
  EXPECT_EQ(status.message(),
            "ncclGetUniqueId: unhandled system error (NCCL error 2): scripted: ncclGetUniqueId");
}

}  // namespace
}  // namespace sluice
