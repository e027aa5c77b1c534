#include "actors/coordinator_state.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "actors/codec_choice.h"
#include "base/exit_codes.h"
#include "base/status_macros.h"

namespace sluice {
namespace {

std::string ShapeOf(const proto::TensorSpec& tensor) {
  return absl::StrCat("\"", tensor.name(), "\" [", absl::StrJoin(tensor.shape(), ","), "]");
}

// Empty when equal, else the first difference with both values.
std::string SignatureDifference(const std::vector<proto::TensorSpec>& a,
                                const std::vector<proto::TensorSpec>& b) {
  for (size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
    const std::string in_a = i < a.size() ? ShapeOf(a[i]) : "absent";
    const std::string in_b = i < b.size() ? ShapeOf(b[i]) : "absent";
    if (in_a != in_b) return absl::StrCat("tensor ", i, " is ", in_a, " here and ", in_b, " there");
  }
  return "";
}

}  // namespace

std::string Describe(const proto::ProcessInfo& process) {
  const char* role = process.role() == proto::ROLE_PROFILER ? "profiler"
                     : process.role() == proto::ROLE_WORKER ? "rank"
                                                            : "coordinator";
  const std::string who = process.role() == proto::ROLE_UNSPECIFIED
                              ? std::string(role)
                              : absl::StrCat(role, " ", process.slot());
  return absl::StrCat(who, " (host ", process.host(), ", pid ", process.pid(), ")");
}

absl::StatusOr<std::unique_ptr<CoordinatorState>> CoordinatorState::Create(
    Options options, PolicyPublisher::Clock clock, CoordinatorObserver* observer) {
  if (options.job.world().size() < 1) {
    return absl::InvalidArgumentError("world.size must be at least 1 (set it with -np N)");
  }
  SLUICE_ASSIGN_OR_RETURN(auto publisher, PolicyPublisher::Create(options.job, clock));
  return std::unique_ptr<CoordinatorState>(
      new CoordinatorState(std::move(options), std::move(publisher), std::move(clock), observer));
}

CoordinatorState::CoordinatorState(Options options, std::unique_ptr<PolicyPublisher> publisher,
                                   PolicyPublisher::Clock clock, CoordinatorObserver* observer)
    : options_(std::move(options)),
      publisher_(std::move(publisher)),
      clock_(std::move(clock)),
      observer_(observer),
      created_(clock_()),
      ledger_(options_.job.world().size()),
      detector_({absl::Seconds(options_.job.report().stall_warning_seconds()),
                 absl::Seconds(options_.job.report().stall_shutdown_seconds())}) {}

proto::Envelope CoordinatorState::Stamp() const {
  proto::Envelope envelope;
  envelope.set_job_id(options_.job_id);
  envelope.set_generation(generation_);
  return envelope;
}

bool CoordinatorState::Accept(MemberId member, const proto::Envelope& envelope) {
  const bool fresh = phase_ == Phase::kRunning && members_.count(member) > 0 &&
                     envelope.job_id() == options_.job_id && envelope.generation() == generation_;
  if (!fresh) ++dropped_;
  return fresh;
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::Broadcast(const Message& message) const {
  std::vector<Outgoing> out;
  for (const auto& [id, member] : members_) out.push_back({id, message});
  return out;
}

absl::Status CoordinatorState::CheckJoin(const proto::Join& join) const {
  const proto::ProcessInfo& process = join.process();
  if (join.envelope().job_id() != options_.job_id) {
    return absl::FailedPreconditionError(
        absl::StrCat("this is job ", options_.job_id, ", not job ", join.envelope().job_id()));
  }
  if (join.protocol_version() != kProtocolVersion) {
    return absl::FailedPreconditionError(absl::StrCat("protocol version ", join.protocol_version(),
                                                      ", the coordinator speaks ", kProtocolVersion,
                                                      ": the same sluice is needed everywhere"));
  }
  if (join.job_digest() != options_.job_digest) {
    return absl::FailedPreconditionError(absl::StrCat(
        "job digest ", absl::Hex(join.job_digest(), absl::kZeroPad16), ", the coordinator's is ",
        absl::Hex(options_.job_digest, absl::kZeroPad16), ": another job file or --set"));
  }
  const bool worker = process.role() == proto::ROLE_WORKER;
  if (!worker && process.role() != proto::ROLE_PROFILER) {
    return absl::InvalidArgumentError("neither worker nor profiler");
  }
  const int slots = worker ? options_.job.world().size() : options_.profilers;
  if (process.slot() < 0 || process.slot() >= slots) {
    return absl::OutOfRangeError(absl::StrCat("slot ", process.slot(), " of ", slots));
  }
  if (phase_ != Phase::kForming) {
    return absl::FailedPreconditionError("the job has already started or ended");
  }
  for (const auto& [id, member] : members_) {
    if (member.process.role() == process.role() && member.process.slot() == process.slot()) {
      return absl::AlreadyExistsError(absl::StrCat("slot taken by ", Describe(member.process)));
    }
    if (!worker || member.process.role() != proto::ROLE_WORKER) continue;
    const std::string difference =
        SignatureDifference({join.tensors().begin(), join.tensors().end()}, member.tensors);
    if (!difference.empty()) {
      return absl::FailedPreconditionError(
          absl::StrCat("model differs from that of ", Describe(member.process), ": ", difference));
    }
    if (join.total_steps() != member.total_steps) {
      return absl::FailedPreconditionError(
          absl::StrCat("the job has ", join.total_steps(), " steps here and ", member.total_steps,
                       " at ", Describe(member.process), ": different data?"));
    }
  }
  return absl::OkStatus();
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::OnJoin(MemberId id,
                                                                 const proto::Join& join) {
  if (absl::Status status = CheckJoin(join); !status.ok()) {
    ++dropped_;
    proto::JoinRefused refused;
    *refused.mutable_envelope() = Stamp();
    refused.set_reason(absl::StrCat(Describe(join.process()), " may not join: ", status.message()));
    std::vector<Outgoing> out = {{id, refused}};
    // One of ours that does not fit will never fit: the job cannot form. Strangers change nothing.
    if (phase_ == Phase::kForming && absl::IsFailedPrecondition(status) &&
        join.envelope().job_id() == options_.job_id) {
      for (Outgoing& more : FailOwn(refused.reason(), kExitConfig)) out.push_back(std::move(more));
    }
    return out;
  }
  Member& member = members_[id];
  member.process = join.process();
  member.transport_address = join.transport_address();
  member.total_steps = join.total_steps();
  member.tensors.assign(join.tensors().begin(), join.tensors().end());
  if (present() < options_.job.world().size() + options_.profilers) return {};
  return Start();
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::Start() {
  const int world_size = options_.job.world().size();
  std::vector<MemberId> by_rank(world_size + options_.profilers);
  for (const auto& [id, member] : members_) {
    const bool worker = member.process.role() == proto::ROLE_WORKER;
    by_rank[(worker ? 0 : world_size) + member.process.slot()] = id;
  }
  proto::StartGeneration start;
  *start.mutable_envelope() = Stamp();
  start.set_world_size(world_size);
  const Member& first = members_.at(by_rank.front());
  start.set_total_steps(first.total_steps);
  *start.mutable_coordinator() = options_.self;
  start.mutable_tensors()->Assign(first.tensors.begin(), first.tensors.end());
  for (MemberId id : by_rank) {
    start.add_transport_addresses(members_.at(id).transport_address);
    *start.add_processes() = members_.at(id).process;
  }

  auto layout = LayoutOf(options_.job, start.tensors());
  if (!layout.ok()) return FailOwn(std::string(layout.status().message()), kExitConfig);
  ModelSize size;
  for (const TensorInfo& tensor : layout->tensors()) size.parameters += tensor.elements;
  auto profiler = WindowProfiler::Create(options_.job.compression(), *layout, start.tensors());
  if (!profiler.ok()) return FailOwn(std::string(profiler.status().message()), kExitConfig);
  profiler_ = *std::move(profiler);
  size.raw_bytes = RawWireBytes(*layout);
  result_.raw_bytes_per_step = size.raw_bytes;
  ledger_.SetPrediction(0, size.raw_bytes);

  phase_ = Phase::kRunning;
  started_ = last_report_ = clock_();
  detector_.OnStart(start, *layout, started_);
  observer_->OnStarted(start, size);
  std::vector<Outgoing> out;
  for (size_t rank = 0; rank < by_rank.size(); ++rank) {
    start.set_rank(static_cast<int32_t>(rank));
    out.push_back({by_rank[rank], start});
  }
  for (Outgoing& more : PublishBeforeTraining()) out.push_back(std::move(more));
  return out;
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::PublishBeforeTraining() {
  const proto::WindowStatistics sizes = profiler_->Sizes();
  const auto initial = publisher_->Initial(sizes);
  if (!initial.ok()) return PublishDecision(kInitialDecision, initial.status());
  const auto later = publisher_->Later(sizes);
  if (!later.ok()) return PublishDecision(kInitialDecision, later.status());
  std::vector<std::optional<proto::CompressionPolicy>> all = {*initial};
  all.insert(all.end(), later->begin(), later->end());
  // Ranks wait for the decision: it comes with the last of them.
  std::vector<Outgoing> out;
  for (size_t i = 0; i < all.size(); ++i) {
    const bool last = i + 1 == all.size();
    for (Outgoing& more : PublishDecision(last ? kInitialDecision : kNoDecision, all[i])) {
      out.push_back(std::move(more));
    }
  }
  return out;
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::PublishDecision(
    int64_t window, const absl::StatusOr<std::optional<proto::CompressionPolicy>>& policy) {
  if (!policy.ok()) {
    return FailOwn(absl::StrCat("compression policy: ", policy.status().message()),
                   absl::IsFailedPrecondition(policy.status()) ? kExitConfig : kExitBug);
  }
  proto::PolicyUpdate update;
  *update.mutable_envelope() = Stamp();
  update.set_window(window);
  if (policy->has_value()) {
    ledger_.SetPrediction((*policy)->version(), (*policy)->predicted_bytes());
    observer_->OnPolicy(**policy);
    *update.mutable_policy() = **policy;
  }
  std::vector<Outgoing> out;
  for (const auto& [id, member] : members_) {
    if (member.process.role() == proto::ROLE_WORKER) out.push_back({id, update});
  }
  return out;
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::OnStepReport(
    MemberId id, const proto::StepReport& report) {
  if (!Accept(id, report.envelope())) return {};
  last_report_ = clock_();
  observer_->OnReport(report);
  times_.Add(report);
  detector_.OnStepReport(report);
  std::vector<ClusterStep> complete;
  for (const proto::StepRecord& record : report.steps()) {
    auto steps = ledger_.Add(Rank(report.rank()), record);
    if (!steps.ok()) {
      if (!complete.empty()) observer_->OnSteps(complete);
      return FailOwn(std::string(steps.status().message()),
                     absl::IsDataLoss(steps.status()) ? kExitTraining : kExitBug);
    }
    complete.insert(complete.end(), steps->begin(), steps->end());
  }
  if (!complete.empty()) {
    observer_->OnSteps(complete);
    observer_->OnLags(detector_.lags());
  }
  return {};
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::OnHeartbeat(
    MemberId id, const proto::Heartbeat& heartbeat) {
  if (phase_ == Phase::kEnded) return {};  // they go on until their process leaves
  if (!Accept(id, heartbeat.envelope())) return {};
  detector_.OnHeartbeat(heartbeat, clock_());
  observer_->OnHeartbeat(heartbeat);
  return {};
}

// Only while running: before and after there is nobody to hold up.
std::vector<CoordinatorState::Outgoing> CoordinatorState::ReportFindings() {
  for (const Finding& finding : detector_.OnTick(clock_())) {
    observer_->OnFinding(finding);
    if (!finding.shutdown) continue;
    proto::Failure failure;
    *failure.mutable_culprit() = finding.process;
    failure.set_step(ledger_.newest().value);
    failure.set_cause(finding.text);
    failure.set_exit_code(kExitTraining);
    return Fail(std::move(failure));
  }
  return {};
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::OnStatistics(
    MemberId id, const proto::Statistics& statistics) {
  if (!Accept(id, statistics.envelope())) return {};
  proto::WindowStatistics window = statistics.window();
  times_.MoveTo(publisher_->current(), window);
  observer_->OnWindow(window);
  return PublishDecision(window.window(), publisher_->OnWindow(window));
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::OnWorkerDone(
    MemberId id, const proto::WorkerDone& done) {
  if (!Accept(id, done.envelope())) return {};
  Member& member = members_.at(id);
  if (member.process.role() != proto::ROLE_WORKER || member.done) return {};
  member.done = true;
  detector_.OnDone(done.rank());
  result_.test_samples += done.test_samples();
  result_.test_correct += done.test_correct();
  result_.test_loss += done.test_loss_sum();
  if (!done.checkpoint_path().empty()) result_.checkpoint_path = done.checkpoint_path();
  for (const auto& [other, info] : members_) {
    if (info.process.role() == proto::ROLE_WORKER && !info.done) return {};
  }
  result_.totals = ledger_.totals();
  if (result_.totals.steps != done.steps()) {
    return FailOwn(absl::StrCat("all workers are done with ", done.steps(), " steps, but only ",
                                result_.totals.steps, " were reported by every rank"),
                   kExitBug);
  }
  if (result_.test_samples > 0) result_.test_loss /= static_cast<double>(result_.test_samples);
  result_.policy_changes = publisher_->changes();
  result_.wall = last_report_ - started_;
  result_.lags = detector_.lags();
  result_.stalls = detector_.stalls();
  result_.stalled = detector_.stalled();
  phase_ = Phase::kEnded;
  ended_ = clock_();
  observer_->OnEnd(result_);
  proto::Shutdown shutdown;
  *shutdown.mutable_envelope() = Stamp();
  shutdown.set_reason("the job is done");
  return Broadcast(shutdown);
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::OnLost(MemberId id,
                                                                 const std::string& how) {
  auto found = members_.find(id);
  if (found == members_.end()) return {};
  const proto::ProcessInfo process = found->second.process;
  members_.erase(found);
  if (phase_ == Phase::kEnded) return {};
  proto::Failure failure;
  *failure.mutable_culprit() = process;
  failure.set_step(ledger_.newest().value);
  failure.set_cause(absl::StrCat(Describe(process), " is gone: ", how));
  failure.set_exit_code(kExitTraining);
  return Fail(std::move(failure));
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::OnFailureReport(
    MemberId id, const proto::Failure& failure) {
  auto found = members_.find(id);
  // Before it joins, a process of this job says itself who it is.
  const bool joining = found == members_.end() && phase_ == Phase::kForming;
  if ((found == members_.end() && !joining) || phase_ == Phase::kEnded ||
      failure.envelope().job_id() != options_.job_id) {
    ++dropped_;
    return {};
  }
  proto::Failure known = failure;
  if (!joining) *known.mutable_culprit() = found->second.process;
  known.set_cause(absl::StrCat(Describe(known.culprit()), ": ", known.cause()));
  if (known.exit_code() == 0) known.set_exit_code(kExitTraining);
  if (!failure.secondary()) return Fail(std::move(known));
  if (!secondary_.has_value()) {
    secondary_ = std::move(known);
    secondary_since_ = clock_();
  }
  return {};
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::OnStopRequest(const std::string& why,
                                                                        int exit_code) {
  return FailOwn(why, exit_code);
}

std::string CoordinatorState::Missing() const {
  std::vector<std::string> missing;
  const auto joined = [&](proto::Role role, int slot) {
    return std::any_of(members_.begin(), members_.end(), [&](const auto& entry) {
      return entry.second.process.role() == role && entry.second.process.slot() == slot;
    });
  };
  for (int slot = 0; slot < options_.job.world().size(); ++slot) {
    if (!joined(proto::ROLE_WORKER, slot)) missing.push_back(absl::StrCat("rank ", slot));
  }
  for (int slot = 0; slot < options_.profilers; ++slot) {
    if (!joined(proto::ROLE_PROFILER, slot)) missing.push_back(absl::StrCat("profiler ", slot));
  }
  return absl::StrJoin(missing, ", ");
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::OnTick() {
  if (phase_ == Phase::kForming && clock_() - created_ > options_.start_timeout) {
    return FailOwn(
        absl::StrCat("only ", present(), " of ", options_.job.world().size() + options_.profilers,
                     " processes joined within ", absl::FormatDuration(options_.start_timeout),
                     "; missing: ", Missing()),
        kExitUnreachable);
  }
  if (phase_ != Phase::kEnded && secondary_.has_value() &&
      clock_() - secondary_since_ > kCauseGrace) {
    return Fail(*secondary_);
  }
  return phase_ == Phase::kRunning ? ReportFindings() : std::vector<Outgoing>();
}

bool CoordinatorState::MayLeave() const {
  return phase_ == Phase::kEnded && (members_.empty() || clock_() - ended_ > kLeaveGrace);
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::FailOwn(const std::string& cause,
                                                                  int exit_code) {
  proto::Failure failure;
  failure.set_step(ledger_.newest().value);
  failure.set_cause(cause);
  failure.set_exit_code(exit_code);
  return Fail(std::move(failure));
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::Fail(proto::Failure failure) {
  if (phase_ == Phase::kEnded) return {};
  phase_ = Phase::kEnded;
  ended_ = clock_();
  *failure.mutable_envelope() = Stamp();
  exit_code_ = failure.exit_code();
  observer_->OnEnd(failure);
  return Broadcast(failure);
}

}  // namespace sluice
