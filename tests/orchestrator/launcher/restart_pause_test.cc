#include "orchestrator/launcher/restart_pause.h"

#include "gtest/gtest.h"

namespace sluice {
namespace {

TEST(RestartPause, DoublesUpToTheMost) {
  RestartPause pause;
  EXPECT_EQ(pause.Next(absl::Seconds(1)), absl::Milliseconds(200));
  EXPECT_EQ(pause.Next(absl::Seconds(1)), absl::Milliseconds(400));
  for (int i = 0; i < 10; ++i) pause.Next(absl::Seconds(1));
  EXPECT_EQ(pause.Next(absl::Seconds(1)), RestartPause::kMost);
}

TEST(RestartPause, BeginsAnewAfterAHealthyPeriod) {
  RestartPause pause;
  for (int i = 0; i < 10; ++i) pause.Next(absl::Seconds(1));
  EXPECT_EQ(pause.Next(RestartPause::kHealthy - absl::Seconds(1)), RestartPause::kMost);
  EXPECT_EQ(pause.Next(RestartPause::kHealthy), RestartPause::kFirst);
  EXPECT_EQ(pause.Next(absl::Seconds(1)), 2 * RestartPause::kFirst);
}

}  // namespace
}  // namespace sluice
