#include "base/log.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

TEST(Log, LineHasTimeLevelIdentityPlaceAndText) {
  SetLogIdentity("rank 3 node02 gen 1");
  testing::internal::CaptureStderr();
  SLUICE_LOG(Warning, "100%", " of ", 3);
  EXPECT_THAT(
      testing::internal::GetCapturedStderr(),
      testing::ContainsRegex("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{15}Z W \\[rank 3 node02 gen "
                             "1\\] log_test.cc:[0-9]+: 100% of 3\n$"));
}

TEST(Log, LinesBelowTheLevelAreDropped) {
  ASSERT_TRUE(SetLogLevel("warning").ok());
  testing::internal::CaptureStderr();
  SLUICE_LOG(Info, "quiet");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(Log, UnknownLevelIsRefusedWithTheChoices) {
  EXPECT_EQ(SetLogLevel("loud").code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace sluice
