#include "training/checkpoint_writer.h"

#include <utility>

#include "base/log.h"
#include "base/thread_name.h"

namespace sluice {

CheckpointWriter::CheckpointWriter(std::string root, int keep_last)
    : root_(std::move(root)), keep_last_(keep_last), writer_([this] { Run(); }) {}

CheckpointWriter::~CheckpointWriter() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_writer_.notify_one();
  writer_.join();
}

void CheckpointWriter::AwaitPart() {
  std::unique_lock<std::mutex> lock(mutex_);
  wake_waiters_.wait(lock, [this] { return !holds_part_; });
}

void CheckpointWriter::WritePart(Step completed, std::vector<CheckpointBlob> blobs,
                                 Written written) {
  std::unique_lock<std::mutex> lock(mutex_);
  wake_waiters_.wait(lock, [this] { return !holds_part_; });
  holds_part_ = true;
  part_ = PartJob{completed, std::move(blobs), std::move(written)};
  wake_writer_.notify_one();
}

void CheckpointWriter::Commit(proto::CheckpointManifest manifest,
                              std::vector<proto::CheckpointFile> files, Committed committed) {
  const std::lock_guard<std::mutex> lock(mutex_);
  commits_.push_back({std::move(manifest), std::move(files), std::move(committed)});
  wake_writer_.notify_one();
}

bool CheckpointWriter::AwaitIdle(absl::Time deadline) {
  std::unique_lock<std::mutex> lock(mutex_);
  return wake_waiters_.wait_until(lock, absl::ToChronoTime(deadline),
                                  [this] { return !holds_part_ && commits_.empty() && !busy_; });
}

void CheckpointWriter::Run() {
  SetThreadName("sluice-disk");
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    wake_writer_.wait(lock, [this] { return stop_ || part_.has_value() || !commits_.empty(); });
    busy_ = true;
    if (!commits_.empty()) {
      CommitJob commit = std::move(commits_.front());
      commits_.erase(commits_.begin());
      lock.unlock();
      Do(std::move(commit));
      lock.lock();
    } else if (part_.has_value()) {
      PartJob part = *std::move(part_);
      part_.reset();
      lock.unlock();
      Do(std::move(part));
      lock.lock();
      holds_part_ = false;
    } else {
      return;  // stop_
    }
    busy_ = false;
    wake_waiters_.notify_all();
  }
}

void CheckpointWriter::Do(PartJob part) {
  auto files = sluice::WritePart(root_, part.completed, part.blobs);
  if (!files.ok()) {
    SLUICE_LOG(Warning, "no checkpoint of ", ToString(part.completed),
               ", training goes on: ", files.status().message());
  }
  part.written(std::move(files));
}

void CheckpointWriter::Do(CommitJob commit) {
  const Step completed(commit.manifest.step());
  auto path = CommitCheckpoint(root_, std::move(commit.manifest), commit.files, keep_last_);
  if (!path.ok()) {
    SLUICE_LOG(Warning, "no checkpoint of ", ToString(completed),
               ", training goes on: ", path.status().message());
  }
  commit.committed(std::move(path));
}

}  // namespace sluice
