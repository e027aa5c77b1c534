#include "training/session/job_member.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "actors/codec_choice.h"
#include "actors/policy_publisher.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace sluice {
namespace {

// How long a rank that cannot go on waits for the coordinator to say what becomes of the generation.
constexpr absl::Duration kVerdictWait = absl::Seconds(30);

absl::StatusOr<Reducer::Options> ReducerOptions(const proto::JobConfig& job,
                                                const proto::StartGeneration& start,
                                                const BucketLayout& layout) {
  Reducer::Options options;
  options.world_size = start.world_size();
  options.timeout = absl::Seconds(job.communication().timeout_seconds());
  options.forward_first = job.communication().bucket_priority() == "forward";
  options.error_feedback = job.compression().error_feedback() == "on";
  options.seed = job.training().seed();
  options.skip_not_finite = job.training().on_nan() == "skip";
  const bool profiled = start.processes_size() > start.world_size() && start.world_size() > 1;
  options.window_steps = profiled ? job.compression().window_steps() : 0;
  options.window_decay = job.compression().window_decay();
  options.first_step = Step(start.start_step());
  if (start.policy().version() > 0) {
    SLUICE_ASSIGN_OR_RETURN(options.initial_plan, ToCodecPlan(start.policy(), layout));
  }
  return options;
}

// Whether `error` can be the consequence of another rank's end.
bool IsConsequence(const absl::Status& error) {
  return absl::IsUnavailable(error) || absl::IsDeadlineExceeded(error) || absl::IsCancelled(error);
}

}  // namespace

absl::StatusOr<std::unique_ptr<JobMember>> JobMember::Connect(Options options, Events events,
                                                              const Connector& connect) {
  SLUICE_ASSIGN_OR_RETURN(const bool needs_windows, NeedsWindows(options.job));
  std::unique_ptr<JobMember> member(
      new JobMember(std::move(options), std::move(events), needs_windows));
  SLUICE_ASSIGN_OR_RETURN(member->client_, connect(member->ClientEvents()));
  return member;
}

JobMember::JobMember(Options options, Events events, bool needs_windows)
    : options_(std::move(options)),
      events_(std::move(events)),
      gate_(options_.job.compression(), needs_windows),
      reporter_(options_.job.report().every_steps(),
                [this](proto::StepReport report) { client_->Send(std::move(report)); }) {}

JobMember::~JobMember() = default;

MemberClient::Events JobMember::ClientEvents() {
  MemberClient::Events events;
  events.on_start = [this](const proto::StartGeneration& start) {
    gate_.OnStart(start);
    absl::MutexLock lock(&mu_);
    over_ = false;
    model_.reset();
  };
  events.on_model = [this](const proto::ModelReady& ready) {
    absl::MutexLock lock(&mu_);
    model_ = ready.start();
  };
  events.on_policy = [this](const proto::PolicyUpdate& update) { gate_.OnPolicy(update); };
  events.on_generation_over = [this](const proto::EndGeneration& end) {
    gate_.OnGenerationOver(end);
    AbortReducer(end.reason());
    events_.on_over(end.reason());
  };
  events.on_hold = [this](const proto::Hold& hold) { return gate_.OnHold(hold); };
  events.on_boundary = [this](const proto::Boundary& boundary) { gate_.OnBoundary(boundary); };
  events.on_phase = [this](const proto::PhaseDecision& decision) { gate_.OnPhase(decision); };
  events.on_commit = events_.on_commit;
  events.on_end = [this](const MemberClient::End& end) {
    events_.on_end(end);
    gate_.OnEnd();
    if (end.exit_code != 0) AbortReducer(end.cause);
    {
      absl::MutexLock lock(&mu_);
      over_ = true;
      abort_cause_ = end.cause;
    }
    events_.on_over(end.cause);
  };
  return events;
}

absl::StatusOr<Joined> JobMember::Join(Step completed, proto::Join join) {
  heartbeats_.reset();
  probe_.Enter(proto::WORK_PHASE_UNSPECIFIED);
  join.set_completed_steps(completed.value);
  // For a coordinator that was started again.
  if (!join.has_policy_state()) gate_.AddPolicyState(completed, join);
  const MemberFacts facts{options_.job, options_.job_digest, options_.process,
                          options_.start_timeout};
  SLUICE_ASSIGN_OR_RETURN(Joined joined, JoinGeneration(*client_, facts, std::move(join)));
  const Rank rank(joined.start.rank());
  SetLogIdentity(absl::StrCat(ToString(rank), " ", options_.process.host(), " gen ",
                              joined.start.envelope().generation()));
  heartbeats_ = std::make_unique<HeartbeatThread>(
      [this, rank] { return ReadHeartbeat(rank); },
      [this](proto::Heartbeat beat) { client_->Send(std::move(beat)); });
  return joined;
}

absl::StatusOr<proto::StartGeneration> JobMember::AwaitModel(proto::Registration model) {
  client_->Send(std::move(model));
  absl::MutexLock lock(&mu_);
  const auto known = [this]()
                         ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return over_ || model_.has_value(); };
  mu_.Await(absl::Condition(&known));
  if (over_) return absl::AbortedError(abort_cause_);
  return *model_;
}

absl::Status JobMember::StartReducing(const proto::StartGeneration& start,
                                      std::unique_ptr<UcxEndpointSeed> seed,
                                      std::string transport_key, const Decorator& decorate) {
  SLUICE_ASSIGN_OR_RETURN(BucketLayout layout,
                          LayoutOf(options_.job, start.tensors(), start.world_size()));
  SLUICE_ASSIGN_OR_RETURN(const Reducer::Options options,
                          ReducerOptions(options_.job, start, layout));
  // On the comm thread, which must make the transport.
  const auto connect = [&]() -> absl::StatusOr<std::unique_ptr<Transport>> {
    const auto& addresses = start.transport_addresses();
    SLUICE_ASSIGN_OR_RETURN(
        std::unique_ptr<Transport> transport,
        std::move(*seed).Connect(Rank(start.rank()), {addresses.begin(), addresses.end()},
                                 transport_key));
    return decorate == nullptr ? std::move(transport) : decorate(std::move(transport));
  };
  SLUICE_ASSIGN_OR_RETURN(reducer_, Reducer::Create(options, std::move(layout), connect));
  reporter_.StartGeneration(Rank(start.rank()), start.world_size());
  absl::MutexLock lock(&mu_);
  live_reducer_ = reducer_.get();
  // The generation may have ended before there was a reducer to abort.
  if (over_) reducer_->Abort(abort_cause_);
  return absl::OkStatus();
}

void JobMember::StopReducing() {
  {
    absl::MutexLock lock(&mu_);
    live_reducer_ = nullptr;
  }
  reducer_.reset();
}

void JobMember::Offer(const std::vector<proto::CompressionPolicy>& plans) {
  for (const proto::CompressionPolicy& policy : plans) {
    auto plan = ToCodecPlan(policy, reducer_->layout());
    const absl::Status status = plan.ok() ? reducer_->OfferPlan(*std::move(plan)) : plan.status();
    if (!status.ok()) {
      reducer_->Abort(absl::StrCat("bad policy from the coordinator: ", status.message()));
    }
  }
}

absl::Status JobMember::AfterError(const absl::Status& error, Step completed) {
  // Elastic: a broken collective is the generation's end, not the job's; the coordinator says which.
  const bool consequence = elastic() && IsConsequence(error);
  if (consequence && !gate_.over()) {
    proto::Failure failure;
    *failure.mutable_culprit() = options_.process;
    failure.set_step(completed.value - 1);
    failure.set_cause(std::string(error.message()));
    failure.set_secondary(true);
    failure.set_waited(absl::IsDeadlineExceeded(error));
    client_->Send(std::move(failure));
    (void)gate_.AwaitOver(kVerdictWait);
  }
  const bool generation_over = absl::IsAborted(error) || (consequence && gate_.over());
  if (generation_over && !client_->WaitEnd(absl::ZeroDuration()).ok()) return absl::OkStatus();
  return error;
}

absl::Status JobMember::Finish(proto::WorkerDone done) {
  client_->Send(std::move(done));
  probe_.Enter(proto::WORK_PHASE_UNSPECIFIED);
  // The others may still be busy; the coordinator says when everybody is through.
  if (!gate_.AwaitOver(absl::Hours(24))) return absl::DeadlineExceededError("no end for a day");
  auto end = client_->WaitEnd(absl::ZeroDuration());
  if (!end.ok()) return absl::AbortedError("another rank was lost before it was through");
  return end->exit_code == 0 ? absl::OkStatus() : absl::AbortedError(end->cause);
}

int JobMember::Leave(const absl::Status& error, Step completed) {
  return LeaveWithError(error, *client_, options_.process, completed - 1, &reporter_.unsent(),
                        absl::ZeroDuration());
}

void JobMember::AbortReducer(const std::string& cause) {
  absl::MutexLock lock(&mu_);
  over_ = true;
  abort_cause_ = cause;
  if (live_reducer_ != nullptr) live_reducer_->Abort(cause);
}

// On the heartbeat thread.
proto::Heartbeat JobMember::ReadHeartbeat(Rank rank) {
  proto::Heartbeat heartbeat = probe_.Read();
  heartbeat.set_rank(static_cast<int32_t>(rank.value));
  if (heartbeat.phase() != proto::WORK_PHASE_REDUCE) return heartbeat;
  absl::MutexLock lock(&mu_);
  if (live_reducer_ == nullptr) return heartbeat;
  const ReducerProgress progress = live_reducer_->progress();
  heartbeat.set_bucket(progress.bucket);
  heartbeat.mutable_waiting_for()->Assign(progress.waiting_for.begin(), progress.waiting_for.end());
  return heartbeat;
}

}  // namespace sluice
