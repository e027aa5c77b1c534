#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "actors/member_client.h"
#include "base/ids.h"
#include "comm/reducer/reducer.h"
#include "proto/control.pb.h"
#include "proto/job.pb.h"
#include "training/checkpoint_writer.h"
#include "training/trainer.h"

namespace sluice {

/// A worker's part in checkpoints (docs/checkpoints.md): going on from one, writing this rank's files, and on
/// rank 0 the manifest when the coordinator says that all files are there.
/// \threadsafety step loop; Commit: any thread
class WorkerCheckpoints {
 public:
  /// \param client  must outlive this
  WorkerCheckpoints(const proto::JobConfig& job, const std::string& run_directory,
                    MemberClient& client);

  /// Before the first join. Slot 0 restores what the job is to go on from, and fills in `join`; other slots
  /// receive it when they are synced. \return steps completed
  /// \param before_restore  puts the trainer into the checkpoint's phase
  /// \error as Trainer::RestoreCheckpoint; kNotFound: checkpoint.resume names none
  absl::StatusOr<Step> Resume(
      int slot, Trainer& trainer,
      const std::function<absl::Status(const proto::CheckpointManifest&)>& before_restore,
      proto::Join& join);

  /// A generation starts, and all ranks are in sync. The first one takes over what each rank has for itself in
  /// the checkpoint: buffers and the reducer's state.
  absl::Status StartGeneration(const proto::StartGeneration& start, Trainer& trainer,
                               Reducer& reducer);

  /// Whether one is due before step `completed`, by checkpoint.every_steps.
  bool Due(Step completed) const;

  /// Copies this rank's state and hands it to the disk thread. A write that fails is a warning there, and
  /// known to the coordinator.
  /// \error as Reducer::SaveState and Trainer::CheckpointFiles
  absl::Status Write(Step completed, Trainer& trainer, Reducer& reducer);

  /// All ranks' files are there, or, without files, one of them cannot be. On rank 0.
  void Commit(const proto::CheckpointCommit& commit);

  /// Waits until the checkpoint of `completed` steps is there, or cannot be; rank 0 alone knows.
  /// \return false after `patience`
  bool AwaitCommitted(Step completed, absl::Duration patience);
  /// Waits until this rank's files are on disk. \return false after `patience`
  bool AwaitWritten(absl::Duration patience) { return writer_.AwaitIdle(absl::Now() + patience); }

 private:
  void Settle(int64_t generation, Step completed);

  const proto::JobConfig job_;
  const std::string root_;
  MemberClient& client_;
  Step first_{0};  // of the generation
  Rank rank_{0};
  absl::Mutex mu_;
  int world_size_ ABSL_GUARDED_BY(mu_) = 1;
  int64_t generation_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Time snapshot_ ABSL_GUARDED_BY(mu_);  // when the last part was taken
  Step settled_ ABSL_GUARDED_BY(mu_){-1};     // newest one that is committed, or cannot be
  CheckpointWriter writer_;                   // last: its thread uses the above
};

}  // namespace sluice
