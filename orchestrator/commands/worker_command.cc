#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "actors/codec_choice.h"
#include "actors/due_policies.h"
#include "actors/heartbeat_thread.h"
#include "actors/member_client.h"
#include "actors/policy_publisher.h"
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
#include "orchestrator/config/chaos_loader.h"
#include "training/progress_probe.h"
#include "training/step_loop.h"
#include "training/trainer.h"

namespace sluice {
namespace {

constexpr absl::Duration kDecisionWait = absl::Seconds(10);

/// One worker process: its replica, its reducer, and its line to the coordinator.
class Worker {
 public:
  explicit Worker(proto::JobConfig job)
      : job_(std::move(job)), process_(ThisProcess(proto::ROLE_WORKER)) {}

  int Run() {
    const absl::Status status = Train();
    if (status.ok()) return kExitOk;
    return LeaveWithError(status, client_.get(), process_, last_step_, &report_,
                          absl::ZeroDuration());
  }

 private:
  absl::Status Train() {
    SLUICE_ASSIGN_OR_RETURN(
        client_,
        ConnectToCoordinator([this](const proto::PolicyUpdate& update) { OnPolicy(update); },
                             [this](const MemberClient::End& end) { OnEnd(end); }));
    SLUICE_ASSIGN_OR_RETURN(needs_windows_, NeedsWindows(job_));
    const Rank rank(process_.slot());
    const int world_size = job_.world().size();
    SLUICE_RETURN_IF_ERROR(PrepareChaos(rank, world_size));
    SLUICE_ASSIGN_OR_RETURN(auto trainer, Trainer::Create(job_, rank, world_size));

    proto::Join join;
    for (const ParameterInfo& parameter : trainer->parameters()) {
      proto::TensorSpec& tensor = *join.add_tensors();
      tensor.set_name(parameter.name);
      tensor.mutable_shape()->Assign(parameter.shape.begin(), parameter.shape.end());
    }
    join.set_total_steps(trainer->total_steps());
    SLUICE_ASSIGN_OR_RETURN(BucketLayout layout, LayoutOf(job_, join.tensors()));

    Reducer::Options options;
    options.world_size = world_size;
    options.timeout = absl::Seconds(job_.communication().timeout_seconds());
    options.forward_first = job_.communication().bucket_priority() == "forward";
    options.error_feedback = job_.compression().error_feedback() == "on";
    options.seed = job_.training().seed();
    options.skip_not_finite = job_.training().on_nan() == "skip";
    options.window_steps = needs_windows_ ? job_.compression().window_steps() : 0;
    options.window_decay = job_.compression().window_decay();
    SLUICE_ASSIGN_OR_RETURN(auto reducer, Reducer::Create(options, std::move(layout), [&] {
                              return JoinAs(rank, std::move(join));
                            }));
    SetReducer(reducer.get());
    const HeartbeatThread heartbeats(
        [&] { return ReadHeartbeat(rank, *reducer); },
        [&](proto::Heartbeat beat) { client_->Send(std::move(beat)); });
    const absl::Status trained = TrainAndReport(*trainer, *reducer, rank);
    SetReducer(nullptr);
    return trained;
  }

  absl::Status PrepareChaos(Rank rank, int world_size) {
    const std::string path = absl::GetFlag(FLAGS_chaos);
    if (path.empty()) return absl::OkStatus();
    SLUICE_ASSIGN_OR_RETURN(const proto::ChaosPlan plan, LoadChaos(path, world_size));
    chaos_ = std::make_unique<Chaos>(plan, rank, world_size, Chaos::RealEffects());
    return absl::OkStatus();
  }

  // On the comm thread, which must make the transport.
  absl::StatusOr<std::unique_ptr<Transport>> JoinAs(Rank rank, proto::Join join) {
    SLUICE_ASSIGN_OR_RETURN(Joined joined,
                            JoinGeneration(*client_, job_, process_, std::move(join)));
    if (joined.start.rank() != rank.value) {
      return absl::InternalError(
          absl::StrCat("slot ", rank.value, " became rank ", joined.start.rank()));
    }
    SetLogIdentity(absl::StrCat(ToString(rank), " ", process_.host(), " gen ",
                                joined.start.envelope().generation()));
    if (chaos_ != nullptr) {
      joined.transport =
          std::make_unique<FaultyTransport>(std::move(joined.transport), chaos_.get());
    }
    return std::move(joined.transport);
  }

  // On the heartbeat thread.
  proto::Heartbeat ReadHeartbeat(Rank rank, const Reducer& reducer) const {
    proto::Heartbeat heartbeat = probe_.Read();
    heartbeat.set_rank(static_cast<int32_t>(rank.value));
    if (heartbeat.phase() != proto::WORK_PHASE_REDUCE) return heartbeat;
    const ReducerProgress progress = reducer.progress();
    heartbeat.set_bucket(progress.bucket);
    heartbeat.mutable_waiting_for()->Assign(progress.waiting_for.begin(),
                                            progress.waiting_for.end());
    return heartbeat;
  }

  // With long steps, a report goes out about once a second all the same.
  bool ReportIsDue(Step step, int64_t total_steps) const {
    return report_.steps_size() >= job_.report().every_steps() || step.value + 1 == total_steps ||
           absl::Now() - last_report_ > absl::Seconds(1);
  }

  absl::Status TrainAndReport(Trainer& trainer, Reducer& reducer, Rank rank) {
    report_.set_rank(static_cast<int32_t>(rank.value));
    StepGuards guards;
    guards.probe = &probe_;
    guards.skip_not_finite = job_.training().on_nan() == "skip";
    guards.max_skipped_steps = job_.training().max_skipped_steps();
    if (chaos_ != nullptr) {
      guards.on_gradient = [&](Step, int tensor, absl::Span<float> gradient) {
        chaos_->OnGradient(reducer.layout().tensors()[static_cast<size_t>(tensor)].name, gradient);
      };
    }
    SLUICE_RETURN_IF_ERROR(RunSteps(
        trainer, reducer, job_.training().checksum_every_steps(),
        [&](Step step) {
          probe_.Enter(step, proto::WORK_PHASE_DECISION);
          AwaitDecision(step);
          OfferDue(step);
          if (chaos_ == nullptr) return;
          probe_.Enter(step, proto::WORK_PHASE_COMPUTE);
          chaos_->OnStep(step);
        },
        [&](const StepOutcome& outcome) {
          last_step_ = outcome.step;
          last_version_ = outcome.reduction.plan_version;
          AddRecord(outcome, report_);
          AddTimings(reducer.bucket_times());
          if (!ReportIsDue(outcome.step, trainer.total_steps())) return;
          last_report_ = absl::Now();
          CompleteReport(reducer);
          client_->Send(report_);
          report_.clear_steps();
          report_.clear_buckets();
          report_.clear_links();
        },
        guards));
    probe_.Enter(proto::WORK_PHASE_EVALUATION);
    for (absl::Span<float> buffer : trainer.FloatBuffers()) {
      SLUICE_RETURN_IF_ERROR(reducer.AllReduceMean(buffer));
    }
    SLUICE_ASSIGN_OR_RETURN(const EvaluationSums sums, trainer.EvaluateShard());
    proto::WorkerDone done;
    done.set_rank(static_cast<int32_t>(rank.value));
    done.set_steps(trainer.total_steps());
    done.set_test_samples(sums.samples);
    done.set_test_correct(sums.correct);
    done.set_test_loss_sum(sums.loss_sum);
    if (rank == Rank(0) && job_.checkpoint().at_end() == "on") {
      probe_.Enter(proto::WORK_PHASE_CHECKPOINT);
      SLUICE_ASSIGN_OR_RETURN(
          std::string path,
          trainer.SaveCheckpoint(absl::StrCat(absl::GetFlag(FLAGS_run_directory), "/checkpoints"),
                                 Step(trainer.total_steps()), PolicyOf(last_version_)));
      done.set_checkpoint_path(std::move(path));
    }
    client_->Send(std::move(done));
    probe_.Enter(proto::WORK_PHASE_UNSPECIFIED);
    // The others may still evaluate; the coordinator says when everybody is through.
    SLUICE_ASSIGN_OR_RETURN(const MemberClient::End end, client_->WaitEnd(absl::Hours(1)));
    return end.exit_code == 0 ? absl::OkStatus() : absl::AbortedError(end.cause);
  }

  static void AddRecord(const StepOutcome& outcome, proto::StepReport& report) {
    proto::StepRecord& record = *report.add_steps();
    record.set_step(outcome.step.value);
    record.set_loss(outcome.loss);
    record.set_step_seconds(absl::ToDoubleSeconds(outcome.duration));
    record.set_exposed_seconds(absl::ToDoubleSeconds(outcome.reduction.exposed));
    record.set_communication_seconds(absl::ToDoubleSeconds(outcome.reduction.communication));
    record.set_sent_bytes(outcome.reduction.sent_bytes);
    record.set_policy_version(outcome.reduction.plan_version);
    record.set_skipped(outcome.skipped);
    if (outcome.has_checksum) record.set_parameter_checksum(outcome.checksum);
  }

  // Sums; CompleteReport makes them means.
  void AddTimings(absl::Span<const BucketTimes> buckets) {
    const auto add = [](absl::Duration time, double sum) {
      return sum + absl::ToDoubleSeconds(time);
    };
    for (size_t b = 0; b < buckets.size(); ++b) {
      if (report_.buckets_size() <= static_cast<int>(b)) report_.add_buckets();
      proto::BucketTiming& sum = *report_.mutable_buckets(static_cast<int>(b));
      sum.set_ready_seconds(add(buckets[b].ready, sum.ready_seconds()));
      sum.set_started_seconds(add(buckets[b].started, sum.started_seconds()));
      sum.set_received_seconds(add(buckets[b].received, sum.received_seconds()));
      sum.set_reduced_seconds(add(buckets[b].reduced, sum.reduced_seconds()));
      sum.set_encode_seconds(add(buckets[b].encode, sum.encode_seconds()));
      sum.set_decode_seconds(add(buckets[b].decode, sum.decode_seconds()));
      sum.set_exposed_seconds(add(buckets[b].exposed, sum.exposed_seconds()));
    }
  }

  void CompleteReport(const Reducer& reducer) {
    const double steps = std::max(1, report_.steps_size());
    for (proto::BucketTiming& mean : *report_.mutable_buckets()) {
      mean.set_ready_seconds(mean.ready_seconds() / steps);
      mean.set_started_seconds(mean.started_seconds() / steps);
      mean.set_received_seconds(mean.received_seconds() / steps);
      mean.set_reduced_seconds(mean.reduced_seconds() / steps);
      mean.set_encode_seconds(mean.encode_seconds() / steps);
      mean.set_decode_seconds(mean.decode_seconds() / steps);
      mean.set_exposed_seconds(mean.exposed_seconds() / steps);
    }
    for (int peer = 0; peer < job_.world().size(); ++peer) {
      const std::optional<LinkEstimate> link = reducer.link(Rank(peer));
      if (!link) continue;
      proto::LinkRecord& record = *report_.add_links();
      record.set_peer(peer);
      record.set_latency_seconds(link->latency_seconds);
      record.set_bytes_per_second(link->bytes_per_second);
      record.set_observations(link->observations);
    }
  }

  // Holds this rank back until it knows what becomes of the windows whose plan may take effect next. With
  // lead_steps to go the answer is there long before; a late one costs time, and past kDecisionWait it costs
  // the promise that a rerun switches at the same step, not the job.
  void AwaitDecision(Step step) {
    const int64_t required = RequiredDecision(job_.compression(), needs_windows_, step);
    absl::MutexLock lock(&mu_);
    if (decided_ >= required || unanswered_) return;
    required_ = required;
    const absl::Condition known(
        +[](Worker* worker) ABSL_EXCLUSIVE_LOCKS_REQUIRED(worker->mu_) {
          return worker->decided_ >= worker->required_ || worker->ended_;
        },
        this);
    if (mu_.AwaitWithTimeout(known, kDecisionWait)) return;
    SLUICE_LOG(Warning, ToString(step), ": no decision on window ", required, " for ",
               absl::FormatDuration(kDecisionWait),
               "; going on with the plan in force. A rerun may differ from this run");
    unanswered_ = true;
  }

  // All ranks get every plan in order, and switch at the step that it names.
  void OfferDue(Step step) {
    absl::MutexLock lock(&mu_);
    for (const proto::CompressionPolicy& policy : due_.Take(step)) Offer(policy);
  }

  // Version 0 is raw: no layers.
  proto::CompressionPolicy PolicyOf(uint32_t version) {
    absl::MutexLock lock(&mu_);
    for (const proto::CompressionPolicy& policy : policies_) {
      if (policy.version() == version) return policy;
    }
    return {};
  }

  // The two below run on an actor thread.

  void OnPolicy(const proto::PolicyUpdate& update) {
    absl::MutexLock lock(&mu_);
    decided_ = std::max(decided_, update.window());
    unanswered_ = false;
    if (!update.has_policy()) return;
    policies_.push_back(update.policy());
    due_.Add(update.policy());
  }

  void OnEnd(const MemberClient::End& end) {
    ExitAfter(kMemberLeaveSeconds, end.exit_code, end.cause);
    if (end.exit_code == 0) return;
    absl::MutexLock lock(&mu_);
    ended_ = true;
    if (reducer_ != nullptr) reducer_->Abort(end.cause);
  }

  void SetReducer(Reducer* reducer) {
    absl::MutexLock lock(&mu_);
    reducer_ = reducer;
    if (reducer == nullptr) return;
    // The end may have come before there was a reducer to abort.
    if (auto end = client_->WaitEnd(absl::ZeroDuration()); end.ok() && end->exit_code != 0) {
      reducer->Abort(end->cause);
    }
  }

  void Offer(const proto::CompressionPolicy& policy) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    auto plan = ToCodecPlan(policy, reducer_->layout());
    const absl::Status status = plan.ok() ? reducer_->OfferPlan(*std::move(plan)) : plan.status();
    if (!status.ok()) {
      reducer_->Abort(absl::StrCat("bad policy from the coordinator: ", status.message()));
    }
  }

  const proto::JobConfig job_;
  const proto::ProcessInfo process_;
  bool needs_windows_ = false;
  std::unique_ptr<Chaos> chaos_;  // null: no faults
  proto::StepReport report_;      // steps since the last one sent
  absl::Time last_report_ = absl::Now();
  ProgressProbe probe_{absl::Now};
  Step last_step_{-1};
  uint32_t last_version_ = 0;
  absl::Mutex mu_;
  Reducer* reducer_ ABSL_GUARDED_BY(mu_) = nullptr;                      // borrowed while it lives
  std::vector<proto::CompressionPolicy> policies_ ABSL_GUARDED_BY(mu_);  // all received
  DuePolicies due_ ABSL_GUARDED_BY(mu_);                                 // of them, not offered yet
  int64_t decided_ ABSL_GUARDED_BY(mu_) = kNoDecision;   // newest window that was decided
  int64_t required_ ABSL_GUARDED_BY(mu_) = kNoDecision;  // that the step loop waits for
  bool unanswered_ ABSL_GUARDED_BY(mu_) = false;  // a wait was given up, and no answer came since
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  std::unique_ptr<MemberClient> client_;  // last: its threads call into this, so it dies first
};

}  // namespace

int WorkerCommand(const CommandLine&) {
  return RunMember("worker", [](proto::JobConfig job) { return Worker(std::move(job)).Run(); });
}

}  // namespace sluice
