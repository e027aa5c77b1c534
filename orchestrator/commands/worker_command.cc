#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "actors/codec_choice.h"
#include "actors/heartbeat_thread.h"
#include "actors/member_client.h"
#include "actors/policy_publisher.h"
#include "actors/step_gate.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "comm/reducer/reducer.h"
#include "comm/transport/faulty_transport.h"
#include "comm/transport/ucx_transport.h"
#include "orchestrator/chaos/chaos.h"
#include "orchestrator/commands/commands.h"
#include "orchestrator/commands/flags.h"
#include "orchestrator/commands/member_process.h"
#include "orchestrator/commands/process_setup.h"
#include "orchestrator/commands/step_reporter.h"
#include "orchestrator/commands/worker_checkpoints.h"
#include "orchestrator/config/chaos_loader.h"
#include "policies/schedule/phase_schedule.h"
#include "training/progress_probe.h"
#include "training/step_loop.h"
#include "training/trainer.h"

namespace sluice {
namespace {

// How long a rank that cannot go on waits for the coordinator to say what becomes of the generation.
constexpr absl::Duration kVerdictWait = absl::Seconds(30);
// How long the end of the job waits for its last checkpoint.
constexpr absl::Duration kCheckpointWait = absl::Minutes(10);

/// One worker process: its replica, its line to the coordinator, and in each generation its reducer.
class Worker {
 public:
  explicit Worker(proto::JobConfig job)
      : job_(std::move(job)),
        process_(ThisProcess(proto::ROLE_WORKER)),
        reporter_(job_.report().every_steps(),
                  [this](proto::StepReport report) { client_->Send(std::move(report)); }) {}

  int Run() {
    const absl::Status status = Train();
    SetCheckpoints(nullptr);
    checkpoints_.reset();  // finishes what is being written, while there is a line to tell of it
    if (status.ok()) return kExitOk;
    return LeaveWithError(status, client_.get(), process_, completed_ - 1, &reporter_.unsent(),
                          absl::ZeroDuration());
  }

 private:
  bool elastic() const { return job_.world().min_size() > 0; }

  absl::Status Train() {
    SLUICE_ASSIGN_OR_RETURN(const bool needs_windows, NeedsWindows(job_));
    gate_.emplace(job_.compression(), needs_windows);
    MemberClient::Events events;
    events.on_start = [this](const proto::StartGeneration& start) { gate_->OnStart(start); };
    events.on_policy = [this](const proto::PolicyUpdate& update) { gate_->OnPolicy(update); };
    events.on_generation_over = [this](const proto::EndGeneration& end) {
      gate_->OnGenerationOver(end);
      AbortReducer(end.reason());
    };
    events.on_hold = [this](const proto::Hold& hold) { return gate_->OnHold(hold); };
    events.on_boundary = [this](const proto::Boundary& boundary) { gate_->OnBoundary(boundary); };
    events.on_phase = [this](const proto::PhaseDecision& decision) { gate_->OnPhase(decision); };
    events.on_commit = [this](const proto::CheckpointCommit& commit) {
      absl::MutexLock lock(&mu_);
      if (live_checkpoints_ != nullptr) live_checkpoints_->Commit(commit);
    };
    events.on_end = [this](const MemberClient::End& end) { OnEnd(end); };
    SLUICE_ASSIGN_OR_RETURN(client_, ConnectToCoordinator(std::move(events), elastic()));
    SLUICE_RETURN_IF_ERROR(PrepareChaos());
    SLUICE_ASSIGN_OR_RETURN(trainer_, Trainer::Create(job_, Rank(0), 1));
    checkpoints_.emplace(job_, absl::GetFlag(FLAGS_run_directory), *client_);
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
    join.set_completed_steps(completed_.value);
    // For a coordinator that was started again.
    if (!join.has_policy_state()) gate_->AddPolicyState(completed_, join);
    SLUICE_ASSIGN_OR_RETURN(Joined joined,
                            JoinGeneration(*client_, job_, process_, std::move(join)));
    const proto::StartGeneration& start = joined.start;
    const Rank rank(start.rank());
    SetLogIdentity(
        absl::StrCat(ToString(rank), " ", process_.host(), " gen ", start.envelope().generation()));
    absl::Status status = Generation(joined);
    SetReducer(nullptr);
    reducer_.reset();
    if (status.ok()) return true;
    // Elastic: a broken collective is the generation's end, not the job's; the coordinator says which.
    if (elastic() && IsConsequence(status) && !gate_->over()) {
      proto::Failure failure;
      *failure.mutable_culprit() = process_;
      failure.set_step(completed_.value - 1);
      failure.set_cause(std::string(status.message()));
      failure.set_secondary(true);
      client_->Send(std::move(failure));
      (void)gate_->AwaitOver(kVerdictWait);
    }
    if (absl::IsAborted(status) || (elastic() && IsConsequence(status) && gate_->over())) {
      if (client_->WaitEnd(absl::ZeroDuration()).ok()) return status;
      return false;
    }
    return status;
  }

  static bool IsConsequence(const absl::Status& status) {
    return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
           absl::IsCancelled(status);
  }

  // OK: the job is done. kAborted: the generation ended in good order.
  absl::Status Generation(Joined& joined) {
    const proto::StartGeneration& start = joined.start;
    const Rank rank(start.rank());
    SLUICE_RETURN_IF_ERROR(trainer_->SetWorld(rank, start.world_size()));
    SLUICE_ASSIGN_OR_RETURN(BucketLayout layout,
                            LayoutOf(job_, start.tensors(), start.world_size()));

    Reducer::Options options;
    options.world_size = start.world_size();
    options.timeout = absl::Seconds(job_.communication().timeout_seconds());
    options.forward_first = job_.communication().bucket_priority() == "forward";
    options.error_feedback = job_.compression().error_feedback() == "on";
    options.seed = job_.training().seed();
    options.skip_not_finite = job_.training().on_nan() == "skip";
    const bool profiled = start.processes_size() > start.world_size() && start.world_size() > 1;
    options.window_steps = profiled ? job_.compression().window_steps() : 0;
    options.window_decay = job_.compression().window_decay();
    options.first_step = Step(start.start_step());
    if (start.policy().version() > 0) {
      SLUICE_ASSIGN_OR_RETURN(options.initial_plan, ToCodecPlan(start.policy(), layout));
    }
    SLUICE_ASSIGN_OR_RETURN(
        reducer_, Reducer::Create(options, std::move(layout), [&] { return Connect(joined); }));
    SetReducer(reducer_.get());
    probe_.Enter(Step(start.start_step()), proto::WORK_PHASE_SYNC);
    const HeartbeatThread heartbeats(
        [&] { return ReadHeartbeat(rank); },
        [&](proto::Heartbeat beat) { client_->Send(std::move(beat)); });
    SLUICE_RETURN_IF_ERROR(FollowSchedule(start.schedule(), Step(start.start_step())));
    SLUICE_RETURN_IF_ERROR(Sync(start));
    SLUICE_RETURN_IF_ERROR(checkpoints_->StartGeneration(start, *trainer_, *reducer_));
    reporter_.StartGeneration(rank, start.world_size());
    SLUICE_RETURN_IF_ERROR(RunSteps(rank));
    return Conclude(rank);
  }

  // On the comm thread, which must make the transport.
  absl::StatusOr<std::unique_ptr<Transport>> Connect(Joined& joined) {
    const auto& addresses = joined.start.transport_addresses();
    SLUICE_ASSIGN_OR_RETURN(
        std::unique_ptr<Transport> transport,
        std::move(*joined.seed)
            .Connect(Rank(joined.start.rank()), {addresses.begin(), addresses.end()},
                     joined.transport_key));
    if (chaos_ == nullptr) return transport;
    return std::make_unique<FaultyTransport>(std::move(transport), chaos_.get());
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

  // On the heartbeat thread.
  proto::Heartbeat ReadHeartbeat(Rank rank) const {
    proto::Heartbeat heartbeat = probe_.Read();
    heartbeat.set_rank(static_cast<int32_t>(rank.value));
    if (heartbeat.phase() != proto::WORK_PHASE_REDUCE) return heartbeat;
    const ReducerProgress progress = reducer_->progress();
    heartbeat.set_bucket(progress.bucket);
    heartbeat.mutable_waiting_for()->Assign(progress.waiting_for.begin(),
                                            progress.waiting_for.end());
    return heartbeat;
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
    SLUICE_RETURN_IF_ERROR(reducer_->Transfer(Rank(start.source_rank()), to, state));
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
    proto::Phase phase = schedule_->phase();
    phase.set_name(NameOf(phase));
    return Annotate(trainer_->BeginPhase(phase, Step(begun_run_.first_step), begun_run_.steps),
                    absl::StrCat("phase ", phase.name()));
  }

  // This rank's part of the test set, with batch norm's statistics of all ranks.
  absl::StatusOr<proto::Evaluation> Evaluate() {
    probe_.Enter(proto::WORK_PHASE_EVALUATION);
    for (absl::Span<float> buffer : trainer_->FloatBuffers()) {
      SLUICE_RETURN_IF_ERROR(reducer_->AllReduceMean(buffer));
    }
    SLUICE_ASSIGN_OR_RETURN(const EvaluationSums sums, trainer_->EvaluateShard());
    proto::Evaluation evaluation;
    evaluation.set_predictions(sums.predictions);
    evaluation.set_correct(sums.correct);
    evaluation.set_correct_top5(sums.correct_top5);
    evaluation.set_loss_sum(sums.loss_sum);
    evaluation.set_classes(sums.classes);
    evaluation.set_per_position(sums.per_position);
    return evaluation;
  }

  // Before step `completed`: evaluates if it is due, and begins the next phase if that ends one.
  absl::Status TurnPhase(Rank rank, Step completed) {
    if (!schedule_->Due(completed.value)) return absl::OkStatus();
    proto::PhaseEvaluation message;
    message.set_rank(static_cast<int32_t>(rank.value));
    message.set_step(completed.value);
    SLUICE_ASSIGN_OR_RETURN(*message.mutable_evaluation(), Evaluate());
    client_->Send(std::move(message));
    probe_.Enter(completed, proto::WORK_PHASE_DECISION);
    const auto entry = gate_->AwaitPhase(completed);
    if (!entry.has_value()) return absl::OkStatus();  // the gate says what becomes of us
    SLUICE_ASSIGN_OR_RETURN(const bool next_phase, schedule_->Record(*entry));
    return next_phase ? BeginPhase() : absl::OkStatus();
  }

  absl::Status RunSteps(Rank rank) {
    StepGate::Verdict verdict;
    absl::Status saved;
    StepGuards guards;
    guards.probe = &probe_;
    guards.skip_not_finite = job_.training().on_nan() == "skip";
    guards.max_skipped_steps = job_.training().max_skipped_steps();
    if (chaos_ != nullptr) {
      guards.on_gradient = [&](Step, int tensor, absl::Span<float> gradient) {
        chaos_->OnGradient(reducer_->layout().tensors()[static_cast<size_t>(tensor)].name,
                           gradient);
      };
    }
    const auto before = [&](Step step) {
      saved = TurnPhase(rank, step);
      if (!saved.ok()) return false;
      probe_.Enter(step, proto::WORK_PHASE_DECISION);
      verdict = gate_->Before(step);
      const bool last = step.value == total_steps() && at_end();
      if (verdict.checkpoint || (checkpoints_->Due(step) && !last)) {
        probe_.Enter(step, proto::WORK_PHASE_CHECKPOINT);
        saved = checkpoints_->Write(step, *trainer_, *reducer_);
      }
      for (const proto::CompressionPolicy& policy : verdict.plans) Offer(policy);
      const bool go_on = saved.ok() && verdict.pass == StepGate::Pass::kStep;
      if (go_on && chaos_ != nullptr && step.value < total_steps()) {
        probe_.Enter(step, proto::WORK_PHASE_COMPUTE);
        chaos_->OnStep(step);
      }
      return go_on;
    };
    const auto after = [&](const StepOutcome& outcome) {
      completed_ = outcome.step + 1;
      reporter_.Add(outcome, *reducer_, completed_.value == total_steps());
    };
    const absl::Status ran = sluice::RunSteps(
        *trainer_, *reducer_, completed_, [this] { return total_steps(); },
        job_.training().checksum_every_steps(), before, after, guards);
    if (!ran.ok() || verdict.pass != StepGate::Pass::kStep) reporter_.Flush(*reducer_);
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
        SLUICE_RETURN_IF_ERROR(checkpoints_->Write(completed_, *trainer_, *reducer_));
      }
    }
    if (stopped_ || at_end()) {
      probe_.Enter(proto::WORK_PHASE_CHECKPOINT);
      AwaitCheckpoint(rank);
    }
    client_->Send(std::move(done));
    probe_.Enter(proto::WORK_PHASE_UNSPECIFIED);
    // The others may still evaluate; the coordinator says when everybody is through.
    if (!gate_->AwaitOver(absl::Hours(24))) return absl::DeadlineExceededError("no end for a day");
    auto end = client_->WaitEnd(absl::ZeroDuration());
    if (!end.ok()) return absl::AbortedError("another rank was lost before it was through");
    return end->exit_code == 0 ? absl::OkStatus() : absl::AbortedError(end->cause);
  }

  // Until the last checkpoint is there or cannot be, so that the job's result knows; or until there is no use.
  void AwaitCheckpoint(Rank rank) {
    constexpr absl::Duration kPoll = absl::Milliseconds(200);
    for (absl::Duration waited; waited < kCheckpointWait && !gate_->over(); waited += kPoll) {
      if (rank == Rank(0) ? checkpoints_->AwaitCommitted(completed_, kPoll)
                          : checkpoints_->AwaitWritten(kPoll)) {
        return;
      }
    }
  }

  void Offer(const proto::CompressionPolicy& policy) {
    auto plan = ToCodecPlan(policy, reducer_->layout());
    const absl::Status status = plan.ok() ? reducer_->OfferPlan(*std::move(plan)) : plan.status();
    if (!status.ok()) {
      reducer_->Abort(absl::StrCat("bad policy from the coordinator: ", status.message()));
    }
  }

  // The three below run on an actor thread, or beside one.

  void OnEnd(const MemberClient::End& end) {
    ExitAfter(kMemberLeaveSeconds, end.exit_code, end.cause);
    gate_->OnEnd();
    if (end.exit_code != 0) AbortReducer(end.cause);
  }

  void AbortReducer(const std::string& cause) {
    absl::MutexLock lock(&mu_);
    abort_cause_ = cause;
    if (live_reducer_ != nullptr) live_reducer_->Abort(cause);
  }

  void SetCheckpoints(WorkerCheckpoints* checkpoints) {
    absl::MutexLock lock(&mu_);
    live_checkpoints_ = checkpoints;
  }

  void SetReducer(Reducer* reducer) {
    absl::MutexLock lock(&mu_);
    live_reducer_ = reducer;
    // The generation may have ended before there was a reducer to abort.
    if (reducer != nullptr && gate_->over()) reducer->Abort(abort_cause_);
  }

  const proto::JobConfig job_;
  const proto::ProcessInfo process_;
  Step completed_{0};             // steps whose outcome the trainer holds
  bool stopped_ = false;          // at a boundary, on request
  proto::Join resume_;            // what the checkpoint has for the coordinator
  std::unique_ptr<Chaos> chaos_;  // null: no faults
  ProgressProbe probe_{absl::Now};
  std::unique_ptr<Trainer> trainer_;
  std::optional<PhaseSchedule> schedule_;
  PhaseSchedule::Run begun_run_;      // that the trainer is in
  std::unique_ptr<Reducer> reducer_;  // of the generation
  StepReporter reporter_;
  std::optional<StepGate> gate_;
  std::optional<WorkerCheckpoints> checkpoints_;
  absl::Mutex mu_;
  Reducer* live_reducer_ ABSL_GUARDED_BY(mu_) = nullptr;  // reducer_ while it may be aborted
  WorkerCheckpoints* live_checkpoints_ ABSL_GUARDED_BY(mu_) =
      nullptr;  // checkpoints_ while it takes commits
  std::string abort_cause_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<MemberClient> client_;  // last: its threads call into this, so it dies first
};

}  // namespace

int WorkerCommand(const CommandLine&) {
  return RunMember("worker", [](proto::JobConfig job) { return Worker(std::move(job)).Run(); });
}

}  // namespace sluice
