#include "orchestrator/commands/worker_checkpoints.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "orchestrator/config/samples_per_step.h"
#include "training/checkpoint.h"

namespace sluice {
namespace {

std::string RootOf(const proto::JobConfig& job, const std::string& run_directory) {
  const std::string& given = job.checkpoint().directory();
  return given.empty() ? absl::StrCat(run_directory, "/checkpoints") : given;
}

}  // namespace

WorkerCheckpoints::WorkerCheckpoints(const proto::JobConfig& job, const std::string& run_directory,
                                     MemberClient& client)
    : job_(job),
      root_(RootOf(job, run_directory)),
      client_(client),
      writer_(root_, job.checkpoint().keep_last()) {}

absl::StatusOr<Step> WorkerCheckpoints::Resume(
    int slot, Trainer& trainer,
    const std::function<absl::Status(const proto::CheckpointManifest&)>& before_restore,
    proto::Join& join) {
  const proto::Checkpoint& wanted = job_.checkpoint();
  if (slot != 0) return Step(0);
  if (wanted.every_steps() > 0 || wanted.at_end() == "on") {
    SLUICE_RETURN_IF_ERROR(ProbeCheckpointFolder(root_));
  }
  if (wanted.resume() == "none") return Step(0);
  std::string path = wanted.resume();
  if (path == "auto") {
    auto newest = NewestWhole(root_);
    if (absl::IsNotFound(newest.status())) {
      SLUICE_LOG(Info, newest.status().message(), ": starting from the beginning");
      return Step(0);
    }
    SLUICE_RETURN_IF_ERROR(newest.status());
    for (const std::string& note : newest->passed_over) {
      SLUICE_LOG(Warning, "SL4001 ", note, ": going on from ", newest->path, " instead");
    }
    path = newest->path;
  }
  auto verified = VerifyCheckpoint(path);
  if (absl::IsDataLoss(verified.status())) {
    return absl::DataLossError(absl::StrCat("SL4001 ", verified.status().message(),
                                            ". --resume auto takes the newest whole one"));
  }
  SLUICE_ASSIGN_OR_RETURN(const proto::CheckpointManifest manifest, std::move(verified));
  SLUICE_RETURN_IF_ERROR(Annotate(before_restore(manifest), path));
  SLUICE_ASSIGN_OR_RETURN(first_, trainer.RestoreCheckpoint(path));
  SLUICE_LOG(Info, "going on from ", path, ", ", first_.value, " steps completed");
  join.set_completed_steps(first_.value);
  // Windows and plans are numbered by the settings that made them.
  const bool same = google::protobuf::util::MessageDifferencer::Equals(manifest.job().compression(),
                                                                       job_.compression());
  if (!same) SLUICE_LOG(Info, "compression is set otherwise than in ", path, ": plans start anew");
  if (same && manifest.has_policy_state()) {
    proto::PolicyState& state = *join.mutable_policy_state();
    state = manifest.policy_state();
    // Windows that ended before, and were not decided, are in parts that belong to the old world.
    const int64_t ended = first_.value / job_.compression().window_steps() - 1;
    if (manifest.world_size() != job_.world().size()) {
      state.set_decided_window(std::max(state.decided_window(), ended));
    }
  }
  return first_;
}

absl::Status WorkerCheckpoints::StartGeneration(const proto::StartGeneration& start,
                                                Trainer& trainer, Reducer& reducer) {
  rank_ = Rank(start.rank());
  {
    absl::MutexLock lock(&mu_);
    world_size_ = start.world_size();
    generation_ = start.envelope().generation();
    settled_ = Step(-1);
  }
  first_ = Step(start.start_step());
  if (start.envelope().generation() > 1 || start.start_step() == 0) return absl::OkStatus();
  const std::string& resume = job_.checkpoint().resume();
  const std::string path =
      resume == "auto" ? absl::StrCat(root_, "/", CheckpointFolder(first_)) : resume;
  SLUICE_ASSIGN_OR_RETURN(const proto::CheckpointManifest manifest, ReadManifest(path));
  if (rank_.value != 0) SLUICE_RETURN_IF_ERROR(trainer.RestoreBuffers(path));
  SLUICE_ASSIGN_OR_RETURN(const MergedReducerState state,
                          ReducerStateFor(path, manifest, rank_, start.world_size()));
  if (rank_.value == 0) {
    for (const std::string& note : state.notes) SLUICE_LOG(Info, note);
  }
  return reducer.LoadState(state.bytes, start.decided_window());
}

bool WorkerCheckpoints::Due(Step completed) const {
  const int64_t every = job_.checkpoint().every_steps();
  return every > 0 && completed > first_ && completed.value % every == 0;
}

absl::Status WorkerCheckpoints::Write(Step completed, Trainer& trainer, Reducer& reducer) {
  proto::CheckpointPart part;
  part.set_rank(static_cast<int32_t>(rank_.value));
  part.set_step(completed.value);
  {
    absl::MutexLock lock(&mu_);
    part.mutable_envelope()->set_generation(generation_);
    snapshot_ = absl::Now();
  }
  // A disk that hangs costs a checkpoint, not a collective that the others wait in.
  const absl::Duration patience = absl::Seconds(job_.communication().timeout_seconds()) / 4;
  if (!writer_.AwaitIdle(absl::Now() + patience)) {
    part.set_error(absl::StrCat("the one before is still being written after ",
                                absl::FormatDuration(patience), ": is the disk slow?"));
    Settle(part.envelope().generation(), completed);
    client_.Send(std::move(part));
    return absl::OkStatus();
  }
  SLUICE_ASSIGN_OR_RETURN(std::vector<CheckpointBlob> files, trainer.CheckpointFiles(completed));
  SLUICE_ASSIGN_OR_RETURN(std::string state, reducer.SaveState());
  if (!state.empty()) files.push_back({ReducerFileName(rank_), std::move(state)});
  writer_.WritePart(completed, std::move(files),
                    [this, part](absl::StatusOr<std::vector<proto::CheckpointFile>> written) {
                      proto::CheckpointPart done = part;
                      if (written.ok()) {
                        done.mutable_files()->Assign(written->begin(), written->end());
                      } else {
                        done.set_error(std::string(written.status().message()));
                        Settle(done.envelope().generation(), Step(done.step()));
                      }
                      client_.Send(std::move(done));
                    });
  return absl::OkStatus();
}

void WorkerCheckpoints::Settle(int64_t generation, Step completed) {
  absl::MutexLock lock(&mu_);
  if (generation == generation_) settled_ = std::max(settled_, completed);
}

void WorkerCheckpoints::Commit(const proto::CheckpointCommit& commit) {
  const int64_t generation = commit.envelope().generation();
  const Step step(commit.step());
  if (commit.files().empty()) {  // a rank could not write its part: it is not to be waited for
    Settle(generation, step);
    return;
  }
  proto::CheckpointManifest manifest;
  absl::Time snapshot;
  {
    absl::MutexLock lock(&mu_);
    manifest.set_world_size(world_size_);
    snapshot = snapshot_;
  }
  manifest.set_step(step.value);
  manifest.set_generation(generation);
  manifest.set_job_id(commit.envelope().job_id());
  manifest.set_samples_seen(step.value * SamplesPerStep(job_));
  *manifest.mutable_job() = job_;
  *manifest.mutable_schedule() = commit.schedule();
  if (commit.has_policy_state()) {
    *manifest.mutable_policy_state() = commit.policy_state();
    *manifest.mutable_policy() = commit.policy_state().policy();
  }
  int64_t bytes = 0;
  for (const proto::CheckpointFile& file : commit.files()) bytes += file.bytes();
  writer_.Commit(std::move(manifest), {commit.files().begin(), commit.files().end()},
                 [this, generation, step, bytes, snapshot](absl::StatusOr<std::string> path) {
                   proto::CheckpointDone done;
                   done.mutable_envelope()->set_generation(generation);
                   done.set_step(step.value);
                   done.set_bytes(bytes);
                   done.set_seconds(absl::ToDoubleSeconds(absl::Now() - snapshot));
                   if (path.ok()) done.set_path(*std::move(path));
                   if (!path.ok()) done.set_error(std::string(path.status().message()));
                   client_.Send(std::move(done));
                   Settle(generation, step);
                 });
}

bool WorkerCheckpoints::AwaitCommitted(Step completed, absl::Duration patience) {
  absl::MutexLock lock(&mu_);
  const auto settled = [&]() ABSL_SHARED_LOCKS_REQUIRED(mu_) { return settled_ >= completed; };
  return mu_.AwaitWithTimeout(absl::Condition(&settled), patience);
}

}  // namespace sluice
