#include "orchestrator/launcher/output_files.h"

#include <unistd.h>

#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

std::string Content(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(OutputFiles, EachRankHasItsOwnWithEqualWidth) {
  const std::string root = absl::StrCat(testing::TempDir(), "/output", getpid());
  auto files = OutputFiles::Create(root, 11);
  ASSERT_TRUE(files.ok()) << files.status();
  (*files)->Write("rank 3", false, "one");
  (*files)->Write("rank 3", true, "two");
  (*files)->Write("profiler 0", true, "three");
  (*files)->WriteError("rank 10", "node02", -1, 137, "exited with \"137\"");
  EXPECT_EQ(Content(root + "/gen.1/rank.03/stdout"), "one\n");
  EXPECT_EQ(Content(root + "/gen.1/rank.03/stderr"), "two\n");
  EXPECT_EQ(Content(root + "/driver.log"), "[profiler 0] three\n");
  EXPECT_THAT(Content(root + "/gen.1/rank.10/error.json"),
              HasSubstr("\"exit_code\":137,\"message\":\"exited with \\\"137\\\"\""));
  // Nothing is overwritten.
  const auto again = OutputFiles::Create(root, 11);
  EXPECT_EQ(again.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Content(root + "/driver.log"), "[profiler 0] three\n");
}

TEST(OutputFiles, AWorkerThatIsStartedAgainWritesToItsGeneration) {
  const std::string root = absl::StrCat(testing::TempDir(), "/again", getpid());
  auto files = OutputFiles::Create(root, 2);
  ASSERT_TRUE(files.ok()) << files.status();
  (*files)->Write("rank 1", false, "first");
  ASSERT_TRUE((*files)->StartWorker(1, 3).ok());
  (*files)->Write("rank 1", false, "second");
  ASSERT_TRUE((*files)->StartWorker(1, 3).ok());  // died before it could take part
  (*files)->Write("rank 1", false, "third");
  ASSERT_TRUE((*files)->StartWorker(2, 4).ok());  // new
  (*files)->Write("rank 2", true, "fourth");
  EXPECT_EQ(Content(root + "/gen.1/rank.1/stdout"), "first\n");
  EXPECT_EQ(Content(root + "/gen.3/rank.1/stdout"), "second\nthird\n");
  EXPECT_EQ(Content(root + "/gen.4/rank.2/stderr"), "fourth\n");
}

}  // namespace
}  // namespace sluice
