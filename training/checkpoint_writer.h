#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/ids.h"
#include "proto/checkpoint.pb.h"
#include "training/checkpoint_parts.h"

namespace sluice {

/// Writes this rank's parts of checkpoints, and rank 0's manifests, on a thread of its own while
/// training goes on.
///
///     step loop                     sluice-disk
///     WritePart(files)         -->  WritePart (checkpoint_parts.h), then `written`
///     any thread: Commit       -->  CommitCheckpoint, then `committed`
///
/// One part is held in memory: a second WritePart waits for the first one. A part or a commit that
/// fails is one warning with file and errno, and training goes on.
/// \threadsafety any thread; the callbacks run on sluice-disk, and must not call this
class CheckpointWriter {
 public:
  using Written = std::function<void(absl::StatusOr<std::vector<proto::CheckpointFile>>)>;
  using Committed = std::function<void(absl::StatusOr<std::string>)>;

  CheckpointWriter(std::string root, int keep_last);
  /// Finishes what was given to it.
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  /// Waits until no part is held any more, so that the next snapshot is the only one in memory.
  void AwaitPart();

  void WritePart(Step completed, std::vector<CheckpointBlob> blobs, Written written);

  void Commit(proto::CheckpointManifest manifest, std::vector<proto::CheckpointFile> files,
              Committed committed);

  /// Whether all that was given to it is done, at the latest at `deadline`.
  bool AwaitIdle(absl::Time deadline);

 private:
  struct PartJob {
    Step completed;
    std::vector<CheckpointBlob> blobs;
    Written written;
  };
  struct CommitJob {
    proto::CheckpointManifest manifest;
    std::vector<proto::CheckpointFile> files;
    Committed committed;
  };

  void Run();
  void Do(PartJob part);
  void Do(CommitJob commit);

  const std::string root_;
  const int keep_last_;
  // std rather than absl: the thread sanitizer sees through these.
  std::mutex mutex_;
  std::condition_variable wake_writer_;
  std::condition_variable wake_waiters_;
  // Guarded by mutex_.
  std::optional<PartJob> part_;
  std::vector<CommitJob> commits_;  // these go first
  bool holds_part_ = false;         // given, or being written
  bool busy_ = false;
  bool stop_ = false;
  std::thread writer_;  // last: it uses all of the above
};

}  // namespace sluice
