#include "orchestrator/config/job_reference.h"

#include <fstream>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

std::string Read(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

std::string Reference() {
  google::protobuf::FileDescriptorSet sources;
  EXPECT_TRUE(sources.ParseFromString(Read("orchestrator/config/job.descriptor_set")));
  return JobReference(sources);
}

TEST(JobReference, KeysHaveDefaultBoundsAndComment) {
  EXPECT_THAT(Reference(), testing::HasSubstr(
                               "\n| `uniform_bits` | `4` | a whole number in [1, 8] | The uniform "
                               "reference: it sets the error budget,"));
}

TEST(JobReference, PageIsUpToDate) {
  const std::string page = Read("docs/job_file.md");
  const absl::StatusOr<std::string> updated = WithJobReference(page, Reference());
  ASSERT_TRUE(updated.ok()) << updated.status();
  EXPECT_EQ(page, *updated) << "run: bazel run //orchestrator/config:update_job_reference";
}

TEST(JobReference, PageWithoutTheMarkIsRefused) {
  EXPECT_EQ(WithJobReference("# page\n", "").status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace sluice
