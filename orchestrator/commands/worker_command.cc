#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "comm/reducer/reducer.h"
#include "comm/transport/faulty_transport.h"
#include "orchestrator/chaos/chaos.h"
#include "orchestrator/commands/commands.h"
#include "orchestrator/commands/flags.h"
#include "orchestrator/commands/member_process.h"
#include "orchestrator/commands/process_setup.h"
#include "orchestrator/commands/program.h"
#include "orchestrator/commands/worker_checkpoints.h"
#include "orchestrator/config/chaos_loader.h"
#include "policies/schedule/phase_schedule.h"
#include "training/session/job_member.h"
#include "training/step_loop.h"
#include "training/trainer.h"

namespace sluice {
namespace {

proto::Phase Named(proto::Phase phase) {
  phase.set_name(NameOf(phase));
  return phase;
}

// How long the end of the job waits for its last checkpoint.
constexpr absl::Duration kCheckpointWait = absl::Minutes(10);

/// One worker process: its replica, its part in the job, and its checkpoints.
class Worker {
 public:
  explicit Worker(proto::JobConfig job)
      : job_(std::move(job)), process_(ThisProcess(proto::ROLE_WORKER)) {}

  int Run() {
    const absl::Status status = Train();
    SetCheckpoints(nullptr);
    checkpoints_.reset();  // finishes what is being written, while there is a line to tell of it
    if (status.ok()) return kExitOk;
    return member_ == nullptr ? ExitCodeFor(status) : member_->Leave(status, completed_);
  }

 private:
  absl::Status Train() {
    const MemberFacts facts = FactsOf(job_, process_);
    JobMember::Options options{job_, facts.job_digest, process_, facts.start_timeout};
    JobMember::Events events;
    events.on_commit = [this](const proto::CheckpointCommit& commit) {
      absl::MutexLock lock(&mu_);
      if (live_checkpoints_ != nullptr) live_checkpoints_->Commit(commit);
    };
    events.on_end = [](const MemberClient::End& end) {
      ExitAfter(kMemberLeaveSeconds, end.exit_code, end.cause);
    };
    const bool elastic = job_.world().min_size() > 0;
    SLUICE_ASSIGN_OR_RETURN(member_,
                            JobMember::Connect(std::move(options), std::move(events),
                                               [elastic](MemberClient::Events client_events) {
                                                 return ConnectToCoordinator(
                                                     std::move(client_events), elastic);
                                               }));
    SLUICE_RETURN_IF_ERROR(PrepareChaos());
    SLUICE_ASSIGN_OR_RETURN(trainer_, Trainer::Create(job_, Rank(0), 1));
    checkpoints_.emplace(job_, absl::GetFlag(FLAGS_run_directory), member_->client());
    SetCheckpoints(&*checkpoints_);
    SLUICE_RETURN_IF_ERROR(MakeSchedule());
    const auto before_restore = [this](const proto::CheckpointManifest& manifest) {
      return FollowSchedule(manifest.schedule(), Step(manifest.step()));
    };
    SLUICE_ASSIGN_OR_RETURN(
        completed_, checkpoints_->Resume(process_.slot(), *trainer_, before_restore, resume_));
    for (;;) {
      SLUICE_ASSIGN_OR_RETURN(const bool done, RunGeneration());
      if (done) return absl::OkStatus();
    }
  }

  // \return whether the job is done; false: this generation is over, and another one is to come
  absl::StatusOr<bool> RunGeneration() {
    proto::Join join = std::exchange(resume_, {});
    for (const ParameterInfo& parameter : trainer_->parameters()) {
      proto::TensorSpec& tensor = *join.add_tensors();
      tensor.set_name(parameter.name);
      tensor.mutable_shape()->Assign(parameter.shape.begin(), parameter.shape.end());
    }
    const std::vector<int64_t>& phase_steps = schedule_->steps();
    join.mutable_phase_steps()->Assign(phase_steps.begin(), phase_steps.end());
    *join.mutable_schedule() = schedule_->log();
    join.set_model_file_digest(trainer_->ModelFileDigest());
    SLUICE_ASSIGN_OR_RETURN(Joined joined, member_->Join(completed_, std::move(join)));
    const absl::Status status = Generation(joined);
    member_->StopReducing();
    if (status.ok()) return true;
    SLUICE_RETURN_IF_ERROR(member_->AfterError(status, completed_));
    return false;
  }

  // OK: the job is done. kAborted: the generation ended in good order.
  absl::Status Generation(Joined& joined) {
    const proto::StartGeneration& start = joined.start;
    const Rank rank(start.rank());
    SLUICE_RETURN_IF_ERROR(trainer_->SetWorld(rank, start.world_size()));
    JobMember::Decorator decorate;
    if (chaos_ != nullptr) {
      decorate = [this](std::unique_ptr<Transport> transport) -> std::unique_ptr<Transport> {
        return std::make_unique<FaultyTransport>(std::move(transport), chaos_.get());
      };
    }
    SLUICE_RETURN_IF_ERROR(member_->StartReducing(start, std::move(joined.seed),
                                                  std::move(joined.transport_key), decorate));
    member_->probe().Enter(Step(start.start_step()), proto::WORK_PHASE_SYNC);
    SLUICE_RETURN_IF_ERROR(FollowSchedule(start.schedule(), Step(start.start_step())));
    SLUICE_RETURN_IF_ERROR(Sync(start));
    SLUICE_RETURN_IF_ERROR(checkpoints_->StartGeneration(start, *trainer_, member_->reducer()));
    SLUICE_RETURN_IF_ERROR(RunSteps(rank));
    return Conclude(rank);
  }

  // Faults strike slots: a process keeps its slot, whatever rank it has.
  absl::Status PrepareChaos() {
    const std::string path = absl::GetFlag(FLAGS_chaos);
    if (path.empty()) return absl::OkStatus();
    const int world_size = job_.world().size();
    SLUICE_ASSIGN_OR_RETURN(const proto::ChaosPlan plan, LoadChaos(path, world_size));
    chaos_ = std::make_unique<Chaos>(plan, Rank(process_.slot()), world_size, Chaos::RealEffects());
    return absl::OkStatus();
  }

  // Ranks that do not hold the newest state receive it from the first one that does.
  absl::Status Sync(const proto::StartGeneration& start) {
    const std::vector<int> to(start.ranks_to_sync().begin(), start.ranks_to_sync().end());
    if (to.empty()) return absl::OkStatus();
    const bool receives = std::find(to.begin(), to.end(), start.rank()) != to.end();
    std::string state;
    if (start.rank() == start.source_rank()) {
      SLUICE_ASSIGN_OR_RETURN(state, trainer_->SaveState(completed_));
    }
    SLUICE_RETURN_IF_ERROR(member_->reducer().Transfer(Rank(start.source_rank()), to, state));
    if (!receives) return absl::OkStatus();
    SLUICE_RETURN_IF_ERROR(Annotate(trainer_->LoadState(state).status(),
                                    absl::StrCat("state from rank ", start.source_rank())));
    completed_ = Step(start.start_step());
    return absl::OkStatus();
  }

  absl::Status MakeSchedule() {
    std::vector<int64_t> steps;
    const std::vector<proto::Phase> phases = PhasesOf(job_);
    for (const proto::Phase& phase : phases) {
      steps.push_back(phase.steps() > 0 ? phase.steps() : trainer_->StepsOf(phase.epochs()));
      SLUICE_RETURN_IF_ERROR(Annotate(trainer_->CheckPhase(Named(phase), steps.back()),
                                      absl::StrCat("phase ", NameOf(phase))));
    }
    SLUICE_ASSIGN_OR_RETURN(schedule_, PhaseSchedule::Create(phases, std::move(steps)));
    return BeginPhase();
  }

  // What others know of the phases, as of `completed` steps.
  absl::Status FollowSchedule(const proto::ScheduleLog& log, Step completed) {
    SLUICE_RETURN_IF_ERROR(schedule_->Restore(log, completed.value));
    const bool same = begun_run_.number == schedule_->run().number &&
                      begun_run_.first_step == schedule_->run().first_step;
    return same ? absl::OkStatus() : BeginPhase();
  }

  absl::Status BeginPhase() {
    begun_run_ = schedule_->run();
    const proto::Phase phase = Named(schedule_->phase());
    return Annotate(trainer_->BeginPhase(phase, Step(begun_run_.first_step), begun_run_.steps),
                    absl::StrCat("phase ", phase.name()));
  }

  // This rank's part of the test set, with batch norm's statistics of all ranks.
  absl::StatusOr<proto::Evaluation> Evaluate() {
    member_->probe().Enter(proto::WORK_PHASE_EVALUATION);
    for (absl::Span<float> buffer : trainer_->FloatBuffers()) {
      SLUICE_RETURN_IF_ERROR(member_->reducer().AllReduceMean(buffer));
    }
    return trainer_->EvaluateShard();
  }

  // Before step `completed`: evaluates if it is due, and begins the next phase if that ends one.
  absl::Status TurnPhase(Rank rank, Step completed) {
    if (!schedule_->Due(completed.value)) return absl::OkStatus();
    proto::PhaseEvaluation message;
    message.set_rank(static_cast<int32_t>(rank.value));
    message.set_step(completed.value);
    SLUICE_ASSIGN_OR_RETURN(*message.mutable_evaluation(), Evaluate());
    member_->client().Send(std::move(message));
    member_->probe().Enter(completed, proto::WORK_PHASE_DECISION);
    const auto entry = member_->gate().AwaitPhase(completed);
    if (!entry.has_value()) return absl::OkStatus();  // the gate says what becomes of us
    SLUICE_ASSIGN_OR_RETURN(const bool next_phase, schedule_->Record(*entry));
    return next_phase ? BeginPhase() : absl::OkStatus();
  }

  absl::Status RunSteps(Rank rank) {
    Reducer& reducer = member_->reducer();
    ProgressProbe& probe = member_->probe();
    StepGate::Verdict verdict;
    absl::Status saved;
    StepGuards guards;
    guards.probe = &probe;
    guards.skip_not_finite = job_.training().on_nan() == "skip";
    guards.max_skipped_steps = job_.training().max_skipped_steps();
    if (chaos_ != nullptr) {
      guards.on_gradient = [&](Step, int tensor, absl::Span<float> gradient) {
        chaos_->OnGradient(reducer.layout().tensors()[static_cast<size_t>(tensor)].name, gradient);
      };
    }
    const auto before = [&](Step step) {
      saved = TurnPhase(rank, step);
      if (!saved.ok()) return false;
      probe.Enter(step, proto::WORK_PHASE_DECISION);
      verdict = member_->gate().Before(step);
      const bool last = step.value == total_steps() && at_end();
      if (verdict.checkpoint || (checkpoints_->Due(step) && !last)) {
        probe.Enter(step, proto::WORK_PHASE_CHECKPOINT);
        saved = checkpoints_->Write(step, *trainer_, reducer);
      }
      member_->Offer(verdict.plans);
      const bool go_on = saved.ok() && verdict.pass == StepGate::Pass::kStep;
      if (go_on && chaos_ != nullptr && step.value < total_steps()) {
        probe.Enter(step, proto::WORK_PHASE_COMPUTE);
        chaos_->OnStep(step);
      }
      return go_on;
    };
    const auto after = [&](const StepOutcome& outcome) {
      completed_ = outcome.step + 1;
      member_->reporter().Add(outcome, reducer, completed_.value == total_steps());
    };
    const absl::Status ran = sluice::RunSteps(
        *trainer_, reducer, completed_, [this] { return total_steps(); },
        job_.training().checksum_every_steps(), before, after, guards);
    if (!ran.ok() || verdict.pass != StepGate::Pass::kStep) member_->reporter().Flush(reducer);
    SLUICE_RETURN_IF_ERROR(ran);
    SLUICE_RETURN_IF_ERROR(saved);
    stopped_ = verdict.pass == StepGate::Pass::kLeave;
    if (verdict.pass == StepGate::Pass::kStep || stopped_) return absl::OkStatus();
    return absl::AbortedError(verdict.reason);
  }

  int64_t total_steps() const { return schedule_->total_steps(); }
  bool at_end() const { return job_.checkpoint().at_end() == "on"; }

  // After the last step, or the one after which the job is to stop.
  absl::Status Conclude(Rank rank) {
    proto::WorkerDone done;
    done.set_rank(static_cast<int32_t>(rank.value));
    done.set_steps(completed_.value);
    if (!stopped_) {
      SLUICE_ASSIGN_OR_RETURN(*done.mutable_evaluation(), Evaluate());
      if (at_end()) {
        SLUICE_RETURN_IF_ERROR(checkpoints_->Write(completed_, *trainer_, member_->reducer()));
      }
    }
    if (stopped_ || at_end()) {
      member_->probe().Enter(proto::WORK_PHASE_CHECKPOINT);
      AwaitCheckpoint(rank);
    }
    return member_->Finish(std::move(done));
  }

  // Until the last checkpoint is there or cannot be, so that the job's result knows; or until there is no use.
  void AwaitCheckpoint(Rank rank) {
    constexpr absl::Duration kPoll = absl::Milliseconds(200);
    for (absl::Duration waited; waited < kCheckpointWait && !member_->gate().over();
         waited += kPoll) {
      if (rank == Rank(0) ? checkpoints_->AwaitCommitted(completed_, kPoll)
                          : checkpoints_->AwaitWritten(kPoll)) {
        return;
      }
    }
  }

  void SetCheckpoints(WorkerCheckpoints* checkpoints) {
    absl::MutexLock lock(&mu_);
    live_checkpoints_ = checkpoints;
  }

  const proto::JobConfig job_;
  const proto::ProcessInfo process_;
  Step completed_{0};             // steps whose outcome the trainer holds
  bool stopped_ = false;          // at a boundary, on request
  proto::Join resume_;            // what the checkpoint has for the coordinator
  std::unique_ptr<Chaos> chaos_;  // null: no faults
  std::unique_ptr<Trainer> trainer_;
  std::optional<PhaseSchedule> schedule_;
  PhaseSchedule::Run begun_run_;  // that the trainer is in
  std::optional<WorkerCheckpoints> checkpoints_;
  absl::Mutex mu_;
  WorkerCheckpoints* live_checkpoints_ ABSL_GUARDED_BY(mu_) =
      nullptr;                         // checkpoints_ while it takes commits
  std::unique_ptr<JobMember> member_;  // last: its threads call into this, so it dies first
};

}  // namespace

int WorkerCommand(const CommandLine&) {
  absl::StatusOr<proto::JobConfig> job = LoadResolvedJob();
  if (job.ok() && job->program().command_size() > 0) {
    SetLogIdentity(absl::StrCat("worker ", absl::GetFlag(FLAGS_slot), " ", HostName()));
    return RunProgram(*job);
  }
  return RunMember("worker", std::move(job),
                   [](proto::JobConfig job) { return Worker(std::move(job)).Run(); });
}

}  // namespace sluice
