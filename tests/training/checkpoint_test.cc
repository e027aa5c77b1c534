#include "training/checkpoint.h"

#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

// A full disk for whoever writes files: writes past `bytes` of a file fail with EFBIG.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_;
};

class CheckpointTest : public testing::Test {
 protected:
  CheckpointTest() { fs::remove_all(root_); }

  absl::StatusOr<std::string> Write(int64_t step, const std::string& model = "weights",
                                    const std::string& optimizer = "momenta") {
    proto::CheckpointManifest manifest;
    manifest.set_step(step);
    manifest.set_world_size(4);
    manifest.mutable_job()->set_name("fashion");
    manifest.mutable_policy()->set_version(3);
    return WriteCheckpoint(root_, manifest, {{"model.pt", model}, {"optimizer.pt", optimizer}});
  }
  std::vector<std::string> Names(const std::string& folder) const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder)) {
      names.push_back(entry.path().filename());
    }
    return names;
  }
  std::string Slurp(const std::string& path) const {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  const std::string root_ = testing::TempDir() + "/checkpoints";
};

TEST_F(CheckpointTest, ReadsBackWhatWasWritten) {
  const std::string model("\0\1\2\xff", 4);
  const auto path = Write(1200, model);
  ASSERT_TRUE(path.ok()) << path.status();
  EXPECT_EQ(*path, root_ + "/step_00001200");
  const auto checkpoint = ReadCheckpoint(*path);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(checkpoint->manifest.step(), 1200);
  EXPECT_EQ(checkpoint->manifest.job().name(), "fashion");
  EXPECT_EQ(checkpoint->manifest.policy().version(), 3u);
  ASSERT_NE(checkpoint->Find("model.pt"), nullptr);
  EXPECT_EQ(checkpoint->Find("model.pt")->bytes, model);
  EXPECT_EQ(checkpoint->Find("optimizer.pt")->bytes, "momenta");
  EXPECT_EQ(checkpoint->Find("other"), nullptr);
}

TEST_F(CheckpointTest, LeavesTheLayoutAndNothingElse) {
  ASSERT_TRUE(Write(7).ok());
  EXPECT_THAT(Names(root_), UnorderedElementsAre("step_00000007", "latest"));
  EXPECT_THAT(Names(root_ + "/step_00000007"),
              UnorderedElementsAre("model.pt", "optimizer.pt", "manifest.pb.json"));
  EXPECT_EQ(Slurp(root_ + "/latest"), "step_00000007\n");
}

TEST_F(CheckpointTest, LatestFollowsTheLastWrite) {
  EXPECT_EQ(LatestCheckpoint(root_).status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(Write(7).ok());
  ASSERT_TRUE(Write(9).ok());
  EXPECT_EQ(*LatestCheckpoint(root_), root_ + "/step_00000009");
  EXPECT_TRUE(ReadCheckpoint(root_ + "/step_00000007").ok());
}

TEST_F(CheckpointTest, AFailingWriteLeavesNothingNew) {
  ASSERT_TRUE(Write(7).ok());
  {
    const FileSizeLimit limit(1000);
    const auto path = Write(9, std::string(5000, 'w'));
    EXPECT_EQ(path.status().code(), absl::StatusCode::kResourceExhausted) << path.status();
    EXPECT_THAT(std::string(path.status().message()),
                HasSubstr(root_ + "/step_00000009.tmp/model.pt"));
  }
  EXPECT_THAT(Names(root_), UnorderedElementsAre("step_00000007", "latest"));
  EXPECT_EQ(*LatestCheckpoint(root_), root_ + "/step_00000007");
}

TEST_F(CheckpointTest, AFailingRewriteKeepsTheOlderOneWhole) {
  ASSERT_TRUE(Write(7, "old").ok());
  {
    const FileSizeLimit limit(1000);
    EXPECT_FALSE(Write(7, "new", std::string(5000, 'm')).ok());
  }
  const auto checkpoint = ReadCheckpoint(root_ + "/step_00000007");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(checkpoint->Find("model.pt")->bytes, "old");
}

TEST_F(CheckpointTest, TheSameStepIsReplaced) {
  ASSERT_TRUE(Write(7, "old").ok());
  ASSERT_TRUE(Write(7, "new").ok());
  EXPECT_EQ(ReadCheckpoint(root_ + "/step_00000007")->Find("model.pt")->bytes, "new");
  EXPECT_THAT(Names(root_), UnorderedElementsAre("step_00000007", "latest"));
}

TEST_F(CheckpointTest, WhatADeadWriterLeftIsOverwritten) {
  fs::create_directories(root_ + "/step_00000007.tmp/half");
  ASSERT_TRUE(Write(7).ok());
  EXPECT_THAT(Names(root_), UnorderedElementsAre("step_00000007", "latest"));
}

TEST_F(CheckpointTest, ARootThatIsAFileIsAnErrorWithItsPath) {
  std::ofstream(root_) << "not a folder";
  const auto path = Write(1);
  EXPECT_FALSE(path.ok());
  EXPECT_THAT(std::string(path.status().message()), HasSubstr(root_));
}

TEST_F(CheckpointTest, AFolderWithoutManifestIsNoCheckpoint) {
  const std::string path = *Write(7);
  fs::remove(path + "/manifest.pb.json");
  EXPECT_EQ(ReadCheckpoint(path).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(CheckpointTest, ADamagedFileIsDataLossWithItsPath) {
  const std::string path = *Write(7);
  for (const char* damage : {"weighty", "weight", ""}) {
    std::ofstream(path + "/model.pt", std::ios::binary) << damage;
    const auto checkpoint = ReadCheckpoint(path);
    EXPECT_EQ(checkpoint.status().code(), absl::StatusCode::kDataLoss) << damage;
    EXPECT_THAT(std::string(checkpoint.status().message()), HasSubstr(path + "/model.pt"));
  }
  fs::remove(path + "/model.pt");
  EXPECT_EQ(ReadCheckpoint(path).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(CheckpointTest, EveryTruncationOfTheManifestIsDataLoss) {
  const std::string path = *Write(7);
  const std::string json = Slurp(path + "/manifest.pb.json");
  // Without the closing brace and line feed it is still whole to no parser.
  for (size_t n = 0; n < json.find_last_of('}'); ++n) {
    std::ofstream(path + "/manifest.pb.json", std::ios::binary) << json.substr(0, n);
    EXPECT_EQ(ReadCheckpoint(path).status().code(), absl::StatusCode::kDataLoss) << "kept " << n;
  }
}

TEST_F(CheckpointTest, AManifestCannotReachOutOfItsFolder) {
  const std::string path = *Write(7);
  std::string json = Slurp(path + "/manifest.pb.json");
  json.replace(json.find("model.pt"), 8, "../latest");
  std::ofstream(path + "/manifest.pb.json", std::ios::binary) << json;
  EXPECT_EQ(ReadCheckpoint(path).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(CheckpointTest, BlobNamesArePlainFileNames) {
  for (const char* name : {"", "..", "a/b", "manifest.pb.json"}) {
    const auto path = WriteCheckpoint(root_, {}, {{name, "x"}});
    EXPECT_EQ(path.status().code(), absl::StatusCode::kInvalidArgument) << name;
  }
  EXPECT_TRUE(Names(root_).empty());
}

}  // namespace
}  // namespace sluice
