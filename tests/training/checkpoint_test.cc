#include "training/checkpoint.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "training/checkpoint_parts.h"

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
                                    const std::string& optimizer = "momenta", int keep_last = 100) {
    auto files = WritePart(root_, Step(step), std::vector<CheckpointBlob>{{"model", model}});
    if (!files.ok()) return files.status();
    auto more = WritePart(root_, Step(step), std::vector<CheckpointBlob>{{"optimizer", optimizer}});
    if (!more.ok()) return more.status();
    files->insert(files->end(), more->begin(), more->end());
    return CommitCheckpoint(root_, Manifest(step), *files, keep_last);
  }
  proto::CheckpointManifest Manifest(int64_t step) {
    proto::CheckpointManifest manifest;
    manifest.set_step(step);
    manifest.set_world_size(4);
    manifest.mutable_job()->set_name("fashion");
    manifest.mutable_policy()->set_version(3);
    manifest.mutable_policy_state()->set_maker(std::string("\0\xff", 2));
    return manifest;
  }
  std::string Model(const std::string& path) {
    const auto manifest = ReadManifest(path);
    if (!manifest.ok()) return manifest.status().ToString();
    const auto bytes = ReadCheckpointFile(path, *manifest, "model");
    return bytes.ok() ? *bytes : bytes.status().ToString();
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
  const auto manifest = VerifyCheckpoint(*path);
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(manifest->step(), 1200);
  EXPECT_EQ(manifest->job().name(), "fashion");
  EXPECT_EQ(manifest->policy().version(), 3u);
  EXPECT_EQ(manifest->policy_state().maker(), std::string("\0\xff", 2));
  EXPECT_EQ(*ReadCheckpointFile(*path, *manifest, "model"), model);
  EXPECT_EQ(*ReadCheckpointFile(*path, *manifest, "optimizer"), "momenta");
  EXPECT_EQ(ReadCheckpointFile(*path, *manifest, "other").status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(CheckpointTest, LeavesTheLayoutAndNothingElse) {
  ASSERT_TRUE(Write(7).ok());
  EXPECT_THAT(Names(root_), UnorderedElementsAre("step_00000007", "latest"));
  EXPECT_THAT(Names(root_ + "/step_00000007"),
              UnorderedElementsAre("model", "optimizer", "manifest.pb.json"));
  EXPECT_EQ(Slurp(root_ + "/latest"), "step_00000007\n");
}

TEST_F(CheckpointTest, LatestFollowsTheLastWrite) {
  EXPECT_EQ(LatestCheckpoint(root_).status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(Write(7).ok());
  ASSERT_TRUE(Write(9).ok());
  EXPECT_EQ(*LatestCheckpoint(root_), root_ + "/step_00000009");
  EXPECT_TRUE(VerifyCheckpoint(root_ + "/step_00000007").ok());
}

TEST_F(CheckpointTest, AFailingWriteLeavesNothingNew) {
  ASSERT_TRUE(Write(7).ok());
  {
    const FileSizeLimit limit(1000);
    const auto path = Write(9, std::string(5000, 'w'));
    EXPECT_EQ(path.status().code(), absl::StatusCode::kResourceExhausted) << path.status();
    EXPECT_THAT(std::string(path.status().message()),
                HasSubstr(root_ + "/step_00000009.tmp/model"));
  }
  EXPECT_THAT(Names(root_), UnorderedElementsAre("step_00000007", "latest"));
  EXPECT_EQ(*LatestCheckpoint(root_), root_ + "/step_00000007");
}

TEST_F(CheckpointTest, AFailingPartLeavesTheOthersAlone) {
  ASSERT_TRUE(WritePart(root_, Step(9), std::vector<CheckpointBlob>{{"other", "x"}}).ok());
  const FileSizeLimit limit(1000);
  EXPECT_FALSE(WritePart(root_, Step(9),
                         std::vector<CheckpointBlob>{{"a", "x"}, {"b", std::string(5000, 'w')}})
                   .ok());
  EXPECT_THAT(Names(root_ + "/step_00000009.tmp"), ElementsAre("other"));
}

TEST_F(CheckpointTest, AFailingRewriteKeepsTheOlderOneWhole) {
  ASSERT_TRUE(Write(7, "old").ok());
  {
    const FileSizeLimit limit(1000);
    EXPECT_FALSE(Write(7, "new", std::string(5000, 'm')).ok());
  }
  EXPECT_EQ(Model(root_ + "/step_00000007"), "old");
}

TEST_F(CheckpointTest, TheSameStepIsReplaced) {
  ASSERT_TRUE(Write(7, "old").ok());
  ASSERT_TRUE(Write(7, "new").ok());
  EXPECT_EQ(Model(root_ + "/step_00000007"), "new");
  EXPECT_THAT(Names(root_), UnorderedElementsAre("step_00000007", "latest"));
}

TEST_F(CheckpointTest, WhatADeadWriterLeftIsOverwritten) {
  fs::create_directories(root_ + "/step_00000007.tmp/half");
  fs::create_directories(root_ + "/step_00000005.tmp/older");
  fs::create_directories(root_ + "/step_00000008.tmp/being_written");
  ASSERT_TRUE(Write(7).ok());
  EXPECT_THAT(Names(root_), UnorderedElementsAre("step_00000007", "step_00000008.tmp", "latest"));
  EXPECT_THAT(Names(root_ + "/step_00000007"),
              UnorderedElementsAre("model", "optimizer", "manifest.pb.json"));
}

TEST_F(CheckpointTest, APartThatIsNotHereIsNoCheckpoint) {
  ASSERT_TRUE(Write(5).ok());
  auto files = WritePart(root_, Step(7), std::vector<CheckpointBlob>{{"model", "weights"}});
  ASSERT_TRUE(files.ok());
  proto::CheckpointFile& elsewhere = files->emplace_back();
  elsewhere.set_name("reducer_0001.bin");
  elsewhere.set_bytes(3);
  const auto path = CommitCheckpoint(root_, Manifest(7), *files, 3);
  EXPECT_EQ(path.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(path.status().message()), HasSubstr("reducer_0001.bin"));
  EXPECT_THAT(std::string(path.status().message()), HasSubstr("the same folder on all hosts?"));
  EXPECT_THAT(Names(root_), UnorderedElementsAre("step_00000005", "latest"));

  files = WritePart(root_, Step(7), std::vector<CheckpointBlob>{{"model", "weights"}});
  files->front().set_bytes(8);
  EXPECT_EQ(CommitCheckpoint(root_, Manifest(7), *files, 3).status().code(),
            absl::StatusCode::kFailedPrecondition);
  files = WritePart(root_, Step(7), std::vector<CheckpointBlob>{{"model", "weights"}});
  files->push_back(files->front());
  EXPECT_EQ(CommitCheckpoint(root_, Manifest(7), *files, 3).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(CheckpointTest, TheNewestAreKept) {
  for (int64_t step : {1, 2, 3, 4}) ASSERT_TRUE(Write(step, "w", "m", 2).ok());
  EXPECT_THAT(Names(root_), UnorderedElementsAre("step_00000003", "step_00000004", "latest"));
  // What is not complete is not counted, and stays for its owner to look at.
  fs::remove(root_ + "/step_00000004/model");
  ASSERT_TRUE(Write(5, "w", "m", 2).ok());
  EXPECT_THAT(Names(root_),
              UnorderedElementsAre("step_00000003", "step_00000004", "step_00000005", "latest"));
  ASSERT_TRUE(Write(6, "w", "m", 1).ok());
  EXPECT_THAT(Names(root_), UnorderedElementsAre("step_00000004", "step_00000006", "latest"));
}

TEST_F(CheckpointTest, AResumedRunKeepsItsOwnAndNotThoseItGaveUp) {
  for (int64_t step : {100, 200, 900}) ASSERT_TRUE(Write(step).ok());
  // Resumed from 100: 150 is newer than 900.
  ASSERT_TRUE(Write(150, "again", "m", 1).ok());
  EXPECT_THAT(Names(root_),
              UnorderedElementsAre("step_00000150", "step_00000200", "step_00000900", "latest"));
  EXPECT_EQ(NewestWhole(root_)->path, root_ + "/step_00000150");
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
  EXPECT_EQ(ReadManifest(path).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(CheckpointTest, ADamagedFileIsDataLossWithItsPath) {
  const std::string path = *Write(7);
  for (const char* damage : {"weighty", "weight", ""}) {
    std::ofstream(path + "/model", std::ios::binary) << damage;
    const auto manifest = VerifyCheckpoint(path);
    EXPECT_EQ(manifest.status().code(), absl::StatusCode::kDataLoss) << damage;
    EXPECT_THAT(std::string(manifest.status().message()), HasSubstr(path + "/model"));
  }
  fs::remove(path + "/model");
  EXPECT_EQ(VerifyCheckpoint(path).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(CheckpointTest, EveryTruncationOfTheManifestIsDataLoss) {
  const std::string path = *Write(7);
  const std::string json = Slurp(path + "/manifest.pb.json");
  // Without the closing brace and line feed it is still whole to no parser.
  for (size_t n = 0; n < json.find_last_of('}'); ++n) {
    std::ofstream(path + "/manifest.pb.json", std::ios::binary) << json.substr(0, n);
    EXPECT_EQ(ReadManifest(path).status().code(), absl::StatusCode::kDataLoss) << "kept " << n;
  }
}

TEST_F(CheckpointTest, AManifestCannotReachOutOfItsFolder) {
  const std::string path = *Write(7);
  std::string json = Slurp(path + "/manifest.pb.json");
  json.replace(json.find("model\""), 5, "../latest");
  std::ofstream(path + "/manifest.pb.json", std::ios::binary) << json;
  EXPECT_EQ(ReadManifest(path).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(CheckpointTest, AnotherFormatIsRefused) {
  const std::string path = *Write(7);
  std::string json = Slurp(path + "/manifest.pb.json");
  json.replace(json.find("\"format_version\": 2"), 19, "\"format_version\": 9");
  std::ofstream(path + "/manifest.pb.json", std::ios::binary) << json;
  const auto manifest = ReadManifest(path);
  EXPECT_EQ(manifest.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(manifest.status().message()), HasSubstr("version 9"));
}

TEST_F(CheckpointTest, BlobNamesArePlainFileNames) {
  for (const char* name : {"", "..", "a/b", "manifest.pb.json"}) {
    const auto files = WritePart(root_, Step(1), std::vector<CheckpointBlob>{{name, "x"}});
    EXPECT_EQ(files.status().code(), absl::StatusCode::kInvalidArgument) << name;
  }
  EXPECT_TRUE(Names(root_).empty());
}

TEST_F(CheckpointTest, TheNewestWholeOneIsFoundAndTheOthersAreNamed) {
  EXPECT_EQ(NewestWhole(root_).status().code(), absl::StatusCode::kNotFound);
  for (int64_t step : {10, 20, 30, 40}) ASSERT_TRUE(Write(step).ok());
  fs::create_directories(root_ + "/step_00000050");      // no manifest
  fs::create_directories(root_ + "/step_00000060.tmp");  // half-written
  EXPECT_EQ(NewestWhole(root_)->path, root_ + "/step_00000040");
  std::ofstream(root_ + "/step_00000040/model", std::ios::binary) << "weightz";  // a flipped bit
  fs::remove(root_ + "/step_00000030/optimizer");
  const auto whole = NewestWhole(root_);
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_EQ(whole->path, root_ + "/step_00000020");
  EXPECT_EQ(whole->manifest.step(), 20);
  EXPECT_THAT(whole->passed_over,
              ElementsAre(testing::AllOf(HasSubstr("step_00000040/model"), HasSubstr("XXH3")),
                          HasSubstr("step_00000030/optimizer: named in the manifest, but absent")));
  fs::remove_all(root_ + "/step_00000020");
  fs::remove_all(root_ + "/step_00000010");
  const absl::Status none = NewestWhole(root_).status();
  EXPECT_EQ(none.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(none.message()), HasSubstr("step_00000040/model"));
}

TEST_F(CheckpointTest, WithoutLatestTheHighestStepIsTheNewest) {
  for (int64_t step : {10, 20}) ASSERT_TRUE(Write(step).ok());
  ASSERT_TRUE(Write(5).ok());
  EXPECT_EQ(NewestWhole(root_)->path, root_ + "/step_00000005");
  fs::remove(root_ + "/latest");
  EXPECT_EQ(NewestWhole(root_)->path, root_ + "/step_00000020");
}

TEST_F(CheckpointTest, TheProbeLeavesNothingAndFindsAFolderThatIsNone) {
  ASSERT_TRUE(ProbeCheckpointFolder(root_ + "/new").ok());
  EXPECT_TRUE(Names(root_ + "/new").empty());
  std::ofstream(root_ + "/file") << "x";
  const absl::Status probed = ProbeCheckpointFolder(root_ + "/file");
  EXPECT_FALSE(probed.ok());
  EXPECT_THAT(std::string(probed.message()), HasSubstr(root_ + "/file"));
  EXPECT_THAT(std::string(probed.message()), HasSubstr("checkpoint.directory"));
}

// Runs `body` in a child with a file system of its own at `root`, of 64 KiB; `body` returns the
// number of the first expectation that fails, 0 if none.
int InSmallFileSystem(const std::string& root, int (*body)(const std::string&)) {
  constexpr int kCannot = 99;
  fs::create_directories(root);
  const pid_t child = fork();
  if (child == 0) {
    if (unshare(CLONE_NEWNS) != 0 ||
        mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("none", root.c_str(), "tmpfs", 0, "size=64k") != 0) {
      _exit(kCannot);
    }
    _exit(body(root));
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(CheckpointTest, AFullDiskLeavesTheOlderOneAndRoomForTheNext) {
  const int failed = InSmallFileSystem(root_, [](const std::string& root) {
    const auto write = [&](int64_t step, size_t bytes) -> absl::Status {
      auto files = WritePart(root, Step(step),
                             std::vector<CheckpointBlob>{{"model", std::string(bytes, 'w')}});
      if (!files.ok()) return files.status();
      proto::CheckpointManifest manifest;
      manifest.set_step(step);
      return CommitCheckpoint(root, manifest, *files, 3).status();
    };
    if (!write(1, 10000).ok()) return 1;
    const absl::Status full = write(2, 100000);
    if (full.code() != absl::StatusCode::kResourceExhausted) return 2;
    if (full.message().find("step_00000002.tmp/model") == absl::string_view::npos) return 3;
    if (fs::exists(root + "/step_00000002.tmp")) return 4;
    if (NewestWhole(root)->path != root + "/step_00000001") return 5;
    if (!write(3, 10000).ok()) return 6;
    if (mount("none", root.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) != 0) return 7;
    if (write(4, 10).code() != absl::StatusCode::kPermissionDenied) return 8;
    if (ProbeCheckpointFolder(root).code() != absl::StatusCode::kPermissionDenied) return 9;
    return NewestWhole(root)->path == root + "/step_00000003" ? 0 : 10;
  });
  if (failed == 99) GTEST_SKIP() << "no private mounts here";
  EXPECT_EQ(failed, 0);
}

TEST_F(CheckpointTest, AWriterKilledAtAnyMomentLeavesWholeCheckpoints) {
  int64_t newest = 0;  // whole one so far; every writer goes on from it, as a resumed job does
  for (int kill_number = 0; kill_number < 50; ++kill_number) {
    int ready[2];
    ASSERT_EQ(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
      char byte = 0;
      (void)!write(ready[1], &byte, 1);
      for (int64_t step = newest + 1;; ++step) {
        const std::string bytes(20000, static_cast<char>(step));
        auto files =
            WritePart(root_, Step(step), std::vector<CheckpointBlob>{{"a", bytes}, {"b", bytes}});
        if (!files.ok() || !CommitCheckpoint(root_, Manifest(step), *files, 2).ok()) _exit(1);
      }
    }
    char byte = 0;
    ASSERT_EQ(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    usleep(static_cast<useconds_t>(2000 + 977 * (kill_number * 7 % 23)));  // somewhere in a step
    ASSERT_EQ(kill(child, SIGKILL), 0);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the writer itself failed";
    int64_t highest = 0;
    for (const Step step : CheckpointSteps(root_)) {
      const std::string path = root_ + "/" + CheckpointFolder(step);
      if (!fs::exists(path + "/manifest.pb.json")) continue;  // was being removed
      const auto manifest = VerifyCheckpoint(path);
      ASSERT_TRUE(manifest.ok()) << manifest.status();
      highest = std::max(highest, step.value);
    }
    if (highest == 0) continue;
    const auto whole = NewestWhole(root_);
    ASSERT_TRUE(whole.ok()) << whole.status();
    ASSERT_GE(whole->manifest.step(), highest - 1) << "the newest, or the one before its `latest`";
    ASSERT_GE(whole->manifest.step(), newest) << "what was whole is gone";
    newest = whole->manifest.step();
  }
  EXPECT_GT(newest, 0) << "no checkpoint was ever finished: the test shows nothing";
}

}  // namespace
}  // namespace sluice
