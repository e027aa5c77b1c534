#include "models/torch_guard.h"

#include <new>
#include <stdexcept>

#include "gtest/gtest.h"

namespace sluice {
namespace {

TEST(TorchGuard, PassesValuesAndStatusesThrough) {
  EXPECT_EQ(*TorchGuard("count", [] { return 3; }), 3);
  EXPECT_TRUE(TorchGuard("nothing", [] {}).ok());
  EXPECT_EQ(TorchGuard("look", [] { return absl::NotFoundError("gone"); }),
            absl::NotFoundError("gone"));
  const absl::StatusOr<int> flat =
      TorchGuard("look", []() -> absl::StatusOr<int> { return absl::NotFoundError("gone"); });
  EXPECT_EQ(flat.status(), absl::NotFoundError("gone"));
}

TEST(TorchGuard, AnExceptionBecomesInternalWithoutTheBacktrace) {
  const absl::StatusOr<int> result = TorchGuard("step 3, rank 1: forward", []() -> int {
    throw std::runtime_error("sizes differ\nException raised from mul at a.cpp:3\nframe #0");
  });
  EXPECT_EQ(result.status(), absl::InternalError("step 3, rank 1: forward: sizes differ"));
}

TEST(TorchGuard, AThrownStatusComesBackWithItsCode) {
  const absl::Status status = TorchGuard(
      "step 3: backward", [] { throw ThrownStatus(absl::UnavailableError("rank 2 is gone")); });
  EXPECT_EQ(status, absl::UnavailableError("step 3: backward: rank 2 is gone"));
}

TEST(TorchGuard, RunningOutOfMemoryIsResourceExhausted) {
  const absl::Status status = TorchGuard("load", [] { throw std::bad_alloc(); });
  EXPECT_EQ(status, absl::ResourceExhaustedError("load: out of memory"));
}

}  // namespace
}  // namespace sluice
