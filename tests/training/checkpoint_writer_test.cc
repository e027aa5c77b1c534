#include "training/checkpoint_writer.h"

#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <utility>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "training/checkpoint.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using Files = std::vector<proto::CheckpointFile>;

class CheckpointWriterTest : public testing::Test {
 protected:
  CheckpointWriterTest() { fs::remove_all(root_); }

  static proto::CheckpointManifest Manifest(int64_t step) {
    proto::CheckpointManifest manifest;
    manifest.set_step(step);
    return manifest;
  }
  static absl::Time Soon() { return absl::Now() + absl::Seconds(20); }

  const std::string root_ = testing::TempDir() + "/written";
};

TEST_F(CheckpointWriterTest, APartAndItsCommitBecomeACheckpoint) {
  CheckpointWriter writer(root_, 3);
  std::promise<absl::StatusOr<Files>> written;
  writer.WritePart(Step(8), {{"model", "weights"}},
                   [&](auto files) { written.set_value(std::move(files)); });
  const absl::StatusOr<Files> files = written.get_future().get();
  ASSERT_TRUE(files.ok()) << files.status();
  std::promise<absl::StatusOr<std::string>> committed;
  writer.Commit(Manifest(8), *files, [&](auto path) { committed.set_value(std::move(path)); });
  const absl::StatusOr<std::string> path = committed.get_future().get();
  ASSERT_TRUE(path.ok()) << path.status();
  EXPECT_TRUE(VerifyCheckpoint(*path).ok());
  EXPECT_TRUE(writer.AwaitIdle(Soon()));
}

TEST_F(CheckpointWriterTest, ASecondPartWaitsForTheFirst) {
  CheckpointWriter writer(root_, 3);
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  std::atomic<int> finished{0};
  writer.WritePart(Step(1), {{"model", "1"}}, [&](const auto&) {
    released.wait();
    ++finished;
  });
  EXPECT_FALSE(writer.AwaitIdle(absl::Now() + absl::Milliseconds(20)));
  auto second = std::async(std::launch::async, [&] {
    writer.WritePart(Step(2), {{"model", "2"}}, [&](const auto&) { ++finished; });
    return finished.load();
  });
  release.set_value();
  EXPECT_GE(second.get(), 1) << "it was taken while the first one was held";
  writer.AwaitPart();
  EXPECT_EQ(finished, 2);
}

TEST_F(CheckpointWriterTest, AFailureIsHandedOnAndTheNextOneIsWritten) {
  std::ofstream(root_) << "in the way";
  CheckpointWriter writer(root_, 3);
  absl::Status failed, missing;
  writer.WritePart(Step(1), {{"model", "1"}}, [&](const auto& files) { failed = files.status(); });
  proto::CheckpointFile file;
  file.set_name("model");
  writer.AwaitPart();
  fs::remove(root_);
  writer.Commit(Manifest(1), {file}, [&](const auto& path) { missing = path.status(); });
  ASSERT_TRUE(writer.AwaitIdle(Soon()));
  EXPECT_THAT(std::string(failed.message()), HasSubstr(root_));
  EXPECT_EQ(missing.code(), absl::StatusCode::kFailedPrecondition);
  absl::Status next = absl::UnknownError("not called");
  writer.WritePart(Step(2), {{"model", "2"}}, [&](const auto& files) { next = files.status(); });
  ASSERT_TRUE(writer.AwaitIdle(Soon()));
  EXPECT_TRUE(next.ok()) << next;
}

TEST_F(CheckpointWriterTest, TheEndFinishesWhatWasGiven) {
  int done = 0;
  {
    CheckpointWriter writer(root_, 3);
    writer.WritePart(Step(4), {{"model", "weights"}}, [&](const auto&) { ++done; });
    writer.AwaitPart();
    proto::CheckpointFile file;
    file.set_name("model");
    file.set_bytes(7);
    writer.Commit(Manifest(4), {file}, [&](const auto&) { ++done; });
  }
  EXPECT_EQ(done, 2);
  EXPECT_TRUE(fs::exists(root_ + "/step_00000004/manifest.pb.json"));
}

}  // namespace
}  // namespace sluice
