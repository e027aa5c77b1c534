#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/ids.h"
#include "comm/transport/transport.h"
#include "proto/control.pb.h"
#include "training/session/group_link.h"
#include "training/session/job_member.h"

namespace sluice {

/// Who must let go of a generation when it ends, and take up the next one: the optimizer.
class GenerationUser {
 public:
  virtual ~GenerationUser() = default;
  /// The reducer goes.
  virtual void Detach() = 0;
  /// A generation has started, on all its ranks.
  virtual absl::Status Attach() = 0;
};

/// The session of a program without LibTorch: how it joins, its meshes in each generation, and how it leaves.
///
/// Each generation has two meshes. One, of the ranks alone, is used by this thread for what the program asks
/// for (GroupLink); the other one, with the profiler, is the reducer's. So a collective never waits for
/// gradients that are on their way.
/// \threadsafety one thread
class SessionCore {
 public:
  /// As `orchestrator worker` has prepared it. Once per process.
  /// \error kFailedPrecondition  not started by it, or joined before
  /// \error of MemberClient::Connect, and of JobMember::Join
  static absl::StatusOr<std::unique_ptr<SessionCore>> Join();
  /// Leaves, if that was not done: well, unless an operation has failed or an exception is on its way.
  ~SessionCore();
  SessionCore(const SessionCore&) = delete;

  /// Of the generation.
  const proto::StartGeneration& start() const { return start_; }
  /// \pre in Collectively
  GroupLink& world() { return *groups_.front(); }
  int64_t generation() const { return start_.envelope().generation(); }
  JobMember& member() { return *member_; }

  /// A group of some ranks; every rank calls, with the same ranks, and gets the same number.
  /// \return its number
  /// \error kInvalidArgument  a rank that is none, or twice; kResourceExhausted  too many groups
  /// \error kFailedPrecondition  the ranks ask for different groups
  absl::StatusOr<int> NewGroup(const std::vector<int>& ranks);
  /// \return null if this rank is not in it
  /// \pre the number is of this generation, and that is not over: see Collectively
  GroupLink* group(int number) { return groups_[static_cast<size_t>(number)].get(); }

  /// Takes part in what ranks do together, which the coordinator sees as waiting for others.
  template <class Body>
  absl::Status Collectively(Body&& body) {
    if (groups_.empty()) return Over();
    const proto::WorkPhase before = member_->probe().Read().phase();
    member_->probe().Enter(proto::WORK_PHASE_COLLECTIVE);
    const absl::Status status = body();
    member_->probe().Enter(before);
    return Note(status);
  }

  /// How long ranks wait for each other where one may still be starting.
  absl::Duration patience() const { return patience_; }

  /// Tells the coordinator what is trained, and makes the generation's reducer. Once per generation, on all ranks.
  /// \param total_steps  0 = unknown
  absl::Status StartReducing(const std::vector<proto::TensorSpec>& tensors, int64_t total_steps);

  /// Steps that the job's optimizer has done; the same on all ranks between steps.
  Step completed() const { return completed_; }
  /// \param plan_version  that its gradients were sent with
  void StepDone(uint32_t plan_version) {
    completed_ = completed_ + 1;
    plan_version_ = plan_version;
  }
  /// Of the last step; nullopt: raw.
  std::optional<proto::CompressionPolicy> policy() const {
    return member_->gate().Find(plan_version_);
  }

  /// The one who holds on to the reducer; null: nobody does.
  GenerationUser* user() const { return user_; }
  void SetUser(GenerationUser* user) { user_ = user; }

  /// The user asked for the job's end, and ranks have agreed on where: nothing has failed.
  void SetStopping() { stopping_ = true; }
  bool stopping() const { return stopping_; }

  /// After `error` of an operation: joins the next generation if that is what follows, again and again until one
  /// stands. \return OK: it does; else `error`, or a later one
  absl::Status NextGeneration(const absl::Status& error);

  /// Keeps the first error that the job cannot go on after. \return `status`
  absl::Status Note(absl::Status status);

  /// Ends this process's part. OK: waits until all ranks are through. Otherwise the job ends with that error.
  /// \return the process's exit code
  int Leave(const absl::Status& outcome);

 private:
  SessionCore() = default;

  absl::Status EnterGeneration();
  absl::Status Over() const;
  void AbortWorld(const std::string& cause);
  void CloseGeneration();
  void Mark(const char* mark) const;

  int fd_ = -1;  // to `orchestrator worker`
  absl::Duration patience_;
  Step completed_{0};
  uint32_t plan_version_ = 0;
  proto::StartGeneration start_;
  bool reducing_ = false;  // in this generation
  bool stopping_ = false;
  bool left_ = false;
  int exit_code_ = 0;
  absl::Status failed_;
  GenerationUser* user_ = nullptr;
  std::vector<int> hosts_;  // by rank
  std::unique_ptr<Transport> transport_;
  std::vector<std::unique_ptr<GroupLink>> groups_;  // by number; 0 is the world. After transport_
  absl::Mutex mu_;
  Transport* live_transport_ ABSL_GUARDED_BY(mu_) = nullptr;  // transport_ while it may be aborted
  std::string over_cause_ ABSL_GUARDED_BY(mu_);               // of the last end of a generation
  std::unique_ptr<JobMember> member_;                         // last: its threads call into this
};

}  // namespace sluice
