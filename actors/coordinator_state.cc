#include "actors/coordinator_state.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "actors/codec_choice.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "policies/compression/codec_choice.h"
#include "policies/compression/compression_policy.h"

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

Membership::Options MembershipOf(const CoordinatorState::Options& options) {
  const proto::World& world = options.job.world();
  Membership::Options out;
  out.workers = world.size();
  out.min_workers = world.min_size();
  out.max_workers = world.max_size();
  out.profilers = options.profilers;
  out.reset_limit = world.reset_limit();
  out.start_timeout = options.start_timeout;
  out.recovering = options.recovering;
  out.needs_slot_zero = options.job.checkpoint().resume() != "none";
  out.late_model = options.job.program().command_size() > 0;
  out.elastic_timeout = absl::Seconds(world.elastic_timeout_seconds());
  return out;
}

// Slots of workers of an elastic job, at most.
constexpr int kMostSlots = 65536;

// The newest plan that a state knows of.
uint32_t Newest(const proto::PolicyState& state) {
  return state.pending().empty() ? state.policy().version()
                                 : state.pending(state.pending_size() - 1).version();
}

bool SameProcess(const proto::ProcessInfo& a, const proto::ProcessInfo& b) {
  return a.role() == b.role() && a.slot() == b.slot() && a.host() == b.host() && a.pid() == b.pid();
}

}  // namespace

absl::StatusOr<std::unique_ptr<CoordinatorState>> CoordinatorState::Create(
    Options options, PolicyPublisher::Clock clock, CoordinatorObserver* observer) {
  if (options.job.world().size() < 1) {
    return absl::InvalidArgumentError("world.size must be at least 1 (set it with -np N)");
  }
  proto::JobConfig first = options.job;
  *first.mutable_compression() = CompressionOf(options.job, PhasesOf(options.job).front());
  SLUICE_ASSIGN_OR_RETURN(auto publisher, PolicyPublisher::Create(first, clock));
  return std::unique_ptr<CoordinatorState>(
      new CoordinatorState(std::move(options), std::move(publisher), std::move(clock), observer));
}

CoordinatorState::CoordinatorState(Options options, std::unique_ptr<PolicyPublisher> publisher,
                                   PolicyPublisher::Clock clock, CoordinatorObserver* observer)
    : options_(std::move(options)),
      publisher_(std::move(publisher)),
      clock_(std::move(clock)),
      observer_(observer),
      membership_(MembershipOf(options_), clock_()),
      conductor_(options_.job),
      ledger_(options_.job.world().size()),
      detector_({absl::Seconds(options_.job.report().stall_warning_seconds()),
                 absl::Seconds(options_.job.report().stall_shutdown_seconds()),
                 options_.job.world().min_size() > 0
                     ? absl::Seconds(options_.job.world().dead_after_seconds())
                     : absl::ZeroDuration()}) {}

proto::Envelope CoordinatorState::Stamp() const {
  proto::Envelope envelope;
  envelope.set_job_id(options_.job_id);
  envelope.set_generation(membership_.generation());
  return envelope;
}

CoordinatorState::Phase CoordinatorState::phase() const {
  if (over_) return Phase::kEnded;
  return membership_.phase() == Membership::Phase::kRunning ? Phase::kRunning : Phase::kForming;
}

bool CoordinatorState::Accept(MemberId member, const proto::Envelope& envelope) {
  // While the next generation forms, what members still have to say of the last one counts.
  const bool fresh = !over_ && members_.count(member) > 0 && membership_.generation() > 0 &&
                     envelope.job_id() == options_.job_id &&
                     envelope.generation() == membership_.generation();
  if (!fresh) ++dropped_;
  return fresh;
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::Broadcast(const Message& message) const {
  std::vector<Outgoing> out;
  for (const auto& [id, member] : members_) out.push_back({id, message});
  return out;
}

absl::Status CoordinatorState::CheckJoin(MemberId id, const proto::Join& join) const {
  const proto::ProcessInfo& process = join.process();
  if (join.envelope().job_id() != options_.job_id) {
    return absl::FailedPreconditionError(absl::StrCat("SL1070 this is job ", options_.job_id,
                                                      ", not job ", join.envelope().job_id()));
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
  const proto::World& world = options_.job.world();
  const bool elastic = world.min_size() > 0;
  // Of an elastic job more than max_size may be there: spares, and those that leave.
  const int slots = !worker ? options_.profilers : elastic ? kMostSlots : world.size();
  if (process.slot() < 0 || process.slot() >= slots) {
    return absl::OutOfRangeError(absl::StrCat("slot ", process.slot(), " of ", slots));
  }
  if (over_ || (!elastic && phase() == Phase::kRunning)) {
    return absl::FailedPreconditionError("the job has already started or ended");
  }
  for (const auto& [other, member] : members_) {
    if (other == id || SameProcess(member.process, process)) continue;
    if (member.process.role() == process.role() && member.process.slot() == process.slot()) {
      return absl::AlreadyExistsError(absl::StrCat("slot taken by ", Describe(member.process)));
    }
    if (!worker || member.process.role() != proto::ROLE_WORKER || late_model()) continue;
    const std::string difference =
        SignatureDifference({join.tensors().begin(), join.tensors().end()}, member.tensors);
    if (!difference.empty()) {
      return absl::FailedPreconditionError(absl::StrCat(
          "SL2001 model differs from that of ", Describe(member.process), ": ", difference));
    }
    if (join.model_file_digest() != member.model_file_digest) {
      return absl::FailedPreconditionError(
          absl::StrCat("model file differs from that of ", Describe(member.process), ": XXH3 ",
                       absl::Hex(join.model_file_digest(), absl::kZeroPad16), " here and ",
                       absl::Hex(member.model_file_digest, absl::kZeroPad16),
                       " there; model.torchscript must name the same file on every host"));
    }
  }
  return absl::OkStatus();
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::OnJoin(MemberId id,
                                                                 const proto::Join& join) {
  absl::Status status = CheckJoin(id, join);
  if (status.ok() && join.process().role() == proto::ROLE_WORKER) {
    status = conductor_.OnJoin(join, membership_.formed());
  }
  if (!status.ok()) {
    ++dropped_;
    proto::JoinRefused refused;
    *refused.mutable_envelope() = Stamp();
    refused.set_reason(absl::StrCat(Describe(join.process()), " may not join: ", status.message()));
    std::vector<Outgoing> out = {{id, refused}};
    // One of ours that does not fit will never fit: the job cannot form. Strangers change nothing.
    if (!membership_.formed() && !over_ && absl::IsFailedPrecondition(status) &&
        join.envelope().job_id() == options_.job_id) {
      for (Outgoing& more : FailOwn(refused.reason(), kExitConfig)) out.push_back(std::move(more));
    }
    return out;
  }
  TakeOverLine(id, join.process());
  Member& member = members_[id];
  member.process = join.process();
  member.transport_address = join.transport_address();
  member.model_file_digest = join.model_file_digest();
  member.tensors.assign(join.tensors().begin(), join.tensors().end());
  member.model_address.reset();
  // Of a checkpoint, or of this coordinator's predecessor: plans go on from there.
  membership_.Recover(join.envelope().generation());
  if (join.has_policy_state() && !membership_.formed() &&
      (!resume_.has_value() || Newest(join.policy_state()) > Newest(*resume_))) {
    resume_ = join.policy_state();
  }
  if (conductor_.known()) membership_.SetTotalSteps(conductor_.schedule().total_steps());
  return Follow(membership_.OnJoin(id, join.process(), join.completed_steps(), clock_()));
}

// A process that lost its line and made a new one can be here before the old one is known to be broken.
void CoordinatorState::TakeOverLine(MemberId id, const proto::ProcessInfo& process) {
  for (const auto& [other, member] : members_) {
    if (other == id || !SameProcess(member.process, process)) continue;
    members_[id] = member;
    membership_.Rename(other, id);
    std::replace(profilers_.begin(), profilers_.end(), other, id);
    members_.erase(other);
    return;
  }
}

absl::Status CoordinatorState::Resume(const proto::PolicyState& state) {
  SLUICE_RETURN_IF_ERROR(publisher_->RestoreState(state));
  if (state.policy().version() > 0) published_.push_back(state.policy());
  published_.insert(published_.end(), state.pending().begin(), state.pending().end());
  for (const proto::CompressionPolicy& policy : published_) observer_->OnPolicy(policy);
  resumed_decision_ = state.decided_window();
  published_before_training_ = state.decided_window() > kNoDecision;
  return absl::OkStatus();
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::ToWorkers(const Message& message) const {
  std::vector<Outgoing> out;
  for (const auto& [id, member] : membership_.members()) {
    if (member.rank >= 0) out.push_back({id, message});
  }
  return out;
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::Follow(const Membership::Orders& orders) {
  std::vector<Outgoing> out;
  const auto add = [&](std::vector<Outgoing> more) {
    for (Outgoing& one : more) out.push_back(std::move(one));
  };
  for (const Membership::Order& order : orders) {
    if (over_) break;
    if (const auto* start = std::get_if<Membership::Start>(&order)) {
      add(Start(*start));
    } else if (const auto* end = std::get_if<Membership::End>(&order)) {
      add(End(*end));
    } else if (const auto* hold = std::get_if<Membership::Hold>(&order)) {
      proto::Hold message;
      *message.mutable_envelope() = Stamp();
      message.set_serial(hold->serial);
      for (MemberId id : hold->workers) out.push_back({id, message});
    } else if (const auto* boundary = std::get_if<Membership::Boundary>(&order)) {
      proto::Boundary message;
      *message.mutable_envelope() = Stamp();
      message.set_serial(boundary->serial);
      message.set_before_step(boundary->before_step);
      message.set_checkpoint(boundary->checkpoint);
      message.set_then(boundary->then);
      message.set_reason(boundary->reason);
      for (MemberId id : boundary->workers) out.push_back({id, message});
      if (boundary->then == proto::Boundary::THEN_REGROUP) {
        regrouping_since_ = clock_();
        observer_->OnRegroup(boundary->reason, {});
      }
    } else if (const auto* lost = std::get_if<Membership::ProfilerLost>(&order)) {
      const auto which = std::find(profilers_.begin(), profilers_.end(), lost->member);
      if (lost->left > 0) {
        SLUICE_LOG(Warning, lost->reason, "; its layers are planned by what is known of them");
        if (gatherer_.has_value() && which != profilers_.end()) {
          add(Decide(gatherer_->OnLost(static_cast<int>(which - profilers_.begin()))));
        }
        continue;
      }
      SLUICE_LOG(Warning, lost->reason,
                 "; the plan in force stays until there is a profiler again");
      proto::PolicyUpdate update;
      *update.mutable_envelope() = Stamp();
      update.set_window(kNoMoreDecisions);
      add(ToWorkers(update));
      decided_window_ = kNoMoreDecisions;
      add(TurnIfReady());
    } else if (const auto* dismiss = std::get_if<Membership::Dismiss>(&order)) {
      proto::Failure failure;
      *failure.mutable_envelope() = Stamp();
      failure.set_cause(dismiss->reason);
      failure.set_exit_code(kExitTraining);
      auto member = members_.find(dismiss->member);
      if (dismiss->asked) {
        proto::Shutdown shutdown;
        *shutdown.mutable_envelope() = Stamp();
        shutdown.set_reason(dismiss->reason);
        SLUICE_LOG(Info, Describe(member->second.process), " ", dismiss->reason);
        members_.erase(member);
        out.push_back({dismiss->member, shutdown});
        continue;
      }
      SLUICE_LOG(Warning, Describe(member->second.process), " ", dismiss->reason, ": dismissed");
      members_.erase(member);
      out.push_back({dismiss->member, failure});
    } else {
      const auto& fail = std::get<Membership::Fail>(order);
      proto::Failure failure;
      *failure.mutable_culprit() = fail.culprit;
      failure.set_step(ledger_.newest().value);
      failure.set_cause(fail.cause);
      failure.set_exit_code(fail.exit_code);
      add(Fail(std::move(failure)));
    }
  }
  return out;
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::End(const Membership::End& end) {
  secondary_.reset();
  Report(checkpoints_.End(end.reason));
  const auto& all = membership_.members();
  const bool ranks = std::any_of(end.members.begin(), end.members.end(),
                                 [&](MemberId id) { return all.at(id).rank >= 0; });
  if (ranks ||
      !end.lost.empty()) {  // otherwise they know it from the boundary, and so does the observer
    regrouping_since_ = clock_();
    observer_->OnRegroup(end.reason, end.lost);
  }
  proto::EndGeneration message;
  *message.mutable_envelope() = Stamp();
  message.set_reason(end.reason);
  std::vector<Outgoing> out;
  for (MemberId id : end.members) out.push_back({id, message});
  return out;
}

// As it is known now; 0: a program does not say.
int64_t CoordinatorState::TotalSteps() const {
  if (!late_model()) return conductor_.schedule().total_steps();
  for (const auto& [id, member] : membership_.members()) {
    if (member.rank == 0) return members_.at(id).total_steps;
  }
  return 0;
}

proto::StartGeneration CoordinatorState::StartMessage(const Membership::Start& start) const {
  proto::StartGeneration message;
  *message.mutable_envelope() = Stamp();
  message.set_world_size(static_cast<int32_t>(start.workers.size()));
  const Member& first = members_.at(start.workers.front());
  message.set_total_steps(TotalSteps());
  *message.mutable_schedule() = conductor_.schedule().log();
  *message.mutable_coordinator() = options_.self;
  message.mutable_tensors()->Assign(first.tensors.begin(), first.tensors.end());
  message.set_start_step(start.start_step);
  message.set_source_rank(start.source_rank);
  message.mutable_ranks_to_sync()->Assign(start.ranks_to_sync.begin(), start.ranks_to_sync.end());
  for (const auto* ids : {&start.workers, &start.profilers}) {
    for (MemberId id : *ids) {
      const Member& member = members_.at(id);
      message.add_transport_addresses(member.model_address.value_or(member.transport_address));
      *message.add_processes() = members_.at(id).process;
    }
  }
  for (const proto::CompressionPolicy& policy : published_) {
    if (policy.effective_step() <= start.start_step) *message.mutable_policy() = policy;
  }
  int64_t decided = published_before_training_ ? kInitialDecision : kNoDecision;
  if (start.profilers.empty() && options_.profilers > 0) {
    decided = kNoMoreDecisions;
  } else if (options_.profilers > 0 && start.workers.size() == 1) {
    decided = kNoMoreDecisions;  // a rank alone measures nothing
  } else if (start.generation == 1 && resumed_decision_.has_value()) {
    decided = *resumed_decision_;
  } else if (options_.profilers > 0 && start.start_step > 0) {
    // Windows that ended with an earlier generation get no plan any more.
    decided = std::max(decided, start.start_step / options_.job.compression().window_steps() - 1);
  }
  message.set_decided_window(decided);
  message.set_newest_version(published_.empty() ? 0 : published_.back().version());
  return message;
}

absl::Status CoordinatorState::PrepareWorld(const proto::StartGeneration& start, ModelSize& size) {
  const proto::JobConfig& job = options_.job;
  SLUICE_ASSIGN_OR_RETURN(const BucketLayout layout,
                          LayoutOf(job, start.tensors(), start.world_size()));
  for (const TensorInfo& tensor : layout.tensors()) size.parameters += tensor.elements;
  detector_.OnStart(start, &layout, clock_());
  SLUICE_ASSIGN_OR_RETURN(profiler_,
                          WindowProfiler::Create(job.compression(), layout, start.tensors()));
  const int profilers = start.transport_addresses_size() - start.world_size();
  gatherer_.reset();
  if (profilers > 0) {
    gatherer_.emplace(profiler_->Sizes(), UniformCodec(job.compression()), profilers);
  }
  size.raw_bytes = RawWireBytes(layout);
  ledger_.SetPrediction(0, size.raw_bytes);
  for (const proto::CompressionPolicy& policy : published_) {
    ledger_.SetPrediction(policy.version(), PredictedBytes(policy));
  }
  return absl::OkStatus();
}

double CoordinatorState::PredictedBytes(const proto::CompressionPolicy& policy) const {
  const proto::WindowStatistics& sizes = profiler_->Sizes();
  if (sizes.world_size() == 1) return 0;
  double bytes = sizes.fixed_wire_bytes();
  for (int i = 0; i < policy.layers_size(); ++i) {
    const auto& options = sizes.layers(i).options();
    const auto same = std::find_if(options.begin(), options.end(), [&](const auto& option) {
      return SameCodec(option.codec(), policy.layers(i).codec());
    });
    if (same == options.end()) return policy.predicted_bytes();
    bytes += same->wire_bytes();
  }
  return bytes;
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::Start(const Membership::Start& start) {
  const absl::Time now = clock_();
  const bool first = started_ == absl::InfinitePast();
  const int world = static_cast<int>(start.workers.size());
  if (absl::Status status = conductor_.Start(start.start_step, world); !status.ok()) {
    return FailOwn(absl::StrCat("phases to go on with: ", status.message()), kExitConfig);
  }
  if (absl::Status status = publisher_->SetCompression(PhaseCompression()); !status.ok()) {
    return FailOwn(std::string(status.message()), kExitConfig);
  }
  BeginPhase();
  if (resume_.has_value()) {
    if (absl::Status status = Resume(*std::exchange(resume_, std::nullopt)); !status.ok()) {
      return FailOwn(absl::StrCat("plans to go on with: ", status.message()), kExitConfig);
    }
  }
  const std::vector<ClusterStep> partial = ledger_.Regroup(world, start.start_step);
  if (!partial.empty()) observer_->OnSteps(partial);
  for (auto& [id, member] : members_) member.done = false;
  done_steps_ = 0;
  times_ = StepTimes();
  Report(checkpoints_.End("a new generation"));
  checkpoints_.Begin(start.generation, world);
  publisher_->OnNewWorld(world);
  profilers_ = start.profilers;
  gatherer_.reset();
  secondary_.reset();

  proto::StartGeneration message = StartMessage(start);
  decided_window_ = options_.profilers > 0 ? message.decided_window() : kNoMoreDecisions;
  ModelSize size;
  if (late_model()) {
    for (auto& [id, member] : members_) member.model_address.reset();
    without_model_ = start;
    detector_.OnStart(message, nullptr, now);
  } else if (absl::Status status = PrepareWorld(message, size); !status.ok()) {
    return FailOwn(std::string(status.message()), kExitConfig);
  }
  result_.raw_bytes_per_step = size.raw_bytes;
  result_.generations = start.generation;
  result_.evaluation.Clear();
  if (first) started_ = now;
  if (!first) result_.regrouping += now - regrouping_since_;
  last_report_ = now;
  if (!late_model()) {
    observer_->OnStarted(message, size);
    observer_->OnPhase(result_.phases.back(), message.total_steps());
  }
  std::vector<Outgoing> out;
  for (const auto* ids : {&start.workers, &start.profilers}) {
    for (MemberId id : *ids) {
      message.set_rank(static_cast<int32_t>(out.size()));
      out.push_back({id, message});
    }
  }
  if (late_model()) return out;
  for (Outgoing& more : PublishPlans(start.start_step)) out.push_back(std::move(more));
  return out;
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::PublishPlans(int64_t start_step) {
  return published_before_training_ && !published_.empty() ? PublishAgain(start_step)
                                                           : PublishBeforeTraining();
}

// The ranks have compared theirs with each other before; plans and residuals are of one model.
absl::Status CoordinatorState::SameAsBefore(const proto::Registration& model) const {
  if (model_.empty()) return absl::OkStatus();
  const std::string difference =
      SignatureDifference({model.tensors().begin(), model.tensors().end()}, model_);
  if (difference.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the optimizer of rank ", model.rank(),
                   " is for another model than the one that the job began with: ", difference));
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::OnModel(
    MemberId id, const proto::Registration& model) {
  if (!Accept(id, model.envelope()) || phase() != Phase::kRunning || !without_model_.has_value()) {
    return {};
  }
  if (absl::Status status = SameAsBefore(model); !status.ok()) {
    return FailOwn(std::string(status.message()), kExitConfig);
  }
  Member& member = members_.at(id);
  member.tensors.assign(model.tensors().begin(), model.tensors().end());
  member.total_steps = model.total_steps();
  member.model_address = model.transport_address();
  for (MemberId worker : without_model_->workers) {
    if (!members_.at(worker).model_address.has_value()) return {};
  }
  model_ = member.tensors;
  Membership::Start start = *std::exchange(without_model_, std::nullopt);
  // Lost while the ranks made their optimizers.
  start.profilers.erase(std::remove_if(start.profilers.begin(), start.profilers.end(),
                                       [&](MemberId one) { return members_.count(one) == 0; }),
                        start.profilers.end());
  profilers_ = start.profilers;
  proto::ModelReady ready;
  *ready.mutable_envelope() = Stamp();
  *ready.mutable_start() = StartMessage(start);
  ModelSize size;
  if (absl::Status status = PrepareWorld(ready.start(), size); !status.ok()) {
    return FailOwn(std::string(status.message()), kExitConfig);
  }
  result_.raw_bytes_per_step = size.raw_bytes;
  observer_->OnStarted(ready.start(), size);
  observer_->OnPhase(result_.phases.back(), ready.start().total_steps());
  std::vector<Outgoing> out;
  for (const auto* ids : {&start.workers, &start.profilers}) {
    for (MemberId to : *ids) {
      ready.mutable_start()->set_rank(static_cast<int32_t>(out.size()));
      out.push_back({to, ready});
    }
  }
  for (Outgoing& more : PublishPlans(start.start_step)) out.push_back(std::move(more));
  for (Outgoing& more : Follow(membership_.OnModel())) out.push_back(std::move(more));
  return out;
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::PublishAgain(int64_t start_step) {
  std::vector<Outgoing> out;
  for (const proto::CompressionPolicy& policy : published_) {
    if (policy.effective_step() <= start_step) continue;
    proto::PolicyUpdate update;
    *update.mutable_envelope() = Stamp();
    update.set_window(kNoDecision);
    *update.mutable_policy() = policy;
    for (Outgoing& more : ToWorkers(update)) out.push_back(std::move(more));
  }
  return out;
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::PublishBeforeTraining() {
  published_before_training_ = true;
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
    published_.push_back(**policy);
    *update.mutable_policy() = **policy;
  }
  return ToWorkers(update);
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
  if (over_) return {};  // they go on until their process leaves
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
    *failure.mutable_envelope() = Stamp();
    *failure.mutable_culprit() = finding.process;
    failure.set_step(ledger_.newest().value);
    failure.set_cause(finding.text);
    failure.set_exit_code(kExitTraining);
    if (options_.job.world().min_size() == 0) return Fail(std::move(failure));
    return Drop(finding.rank, failure);
  }
  return {};
}

// Elastic: the others go on without it.
std::vector<CoordinatorState::Outgoing> CoordinatorState::Drop(int rank,
                                                               const proto::Failure& failure) {
  const auto& members = membership_.members();
  const auto found = std::find_if(members.begin(), members.end(),
                                  [&](const auto& entry) { return entry.second.rank == rank; });
  if (found == members.end()) return {};
  const MemberId id = found->first;
  std::vector<Outgoing> out = {Outgoing{id, failure}};
  for (Outgoing& more : OnLost(id, failure.cause())) out.push_back(std::move(more));
  return out;
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::OnStatistics(
    MemberId id, const proto::Statistics& statistics) {
  if (!Accept(id, statistics.envelope()) || phase() != Phase::kRunning) return {};
  const auto which = std::find(profilers_.begin(), profilers_.end(), id);
  if (which == profilers_.end() || !gatherer_.has_value()) return {};
  return Decide(gatherer_->OnPart(static_cast<int>(which - profilers_.begin()), statistics.window(),
                                  clock_()));
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::Decide(
    std::vector<proto::WindowStatistics> windows) {
  std::vector<Outgoing> out;
  for (proto::WindowStatistics& window : windows) {
    if (over_) break;
    times_.MoveTo(publisher_->current(), window);
    if (absl::Status status = publisher_->Prepare(TotalSteps(), window); !status.ok()) {
      return PublishDecision(window.window(), status);
    }
    observer_->OnWindow(window);
    for (Outgoing& more : PublishDecision(window.window(), publisher_->OnWindow(window))) {
      out.push_back(std::move(more));
    }
    decided_window_ = std::max(decided_window_, window.window());
    for (Outgoing& more : TurnIfReady()) out.push_back(std::move(more));
  }
  return out;
}

proto::Compression CoordinatorState::PhaseCompression() const {
  return CompressionOf(options_.job, conductor_.schedule().phase());
}

void CoordinatorState::BeginPhase() {
  const PhaseSchedule& schedule = conductor_.schedule();
  std::vector<PhaseOutcome>& phases = result_.phases;
  // What was begun and is not any more: the generation starts from before it.
  while (!phases.empty() && phases.back().first_step > schedule.run().first_step) {
    phases.pop_back();
  }
  if (phases.empty() || phases.back().first_step < schedule.run().first_step) {
    phases.emplace_back();
  }
  phases.back() = {NameOf(schedule.phase()), schedule.run().first_step, schedule.run().end(), {}};
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::OnPhaseEvaluation(
    MemberId id, const proto::PhaseEvaluation& evaluation) {
  if (!Accept(id, evaluation.envelope()) || phase() != Phase::kRunning) return {};
  conductor_.OnEvaluation(evaluation);
  return TurnIfReady();
}

// Windows that ended in a phase are planned by that phase's policy, whichever message comes first: a rerun must
// decide alike.
std::vector<CoordinatorState::Outgoing> CoordinatorState::TurnIfReady() {
  if (over_ || !conductor_.known() || !conductor_.ready()) return {};
  const int64_t step = conductor_.step();
  const int64_t ended_windows = step / options_.job.compression().window_steps();
  if (ended_windows > 0 && decided_window_ < ended_windows - 1) return {};
  const PhaseConductor::Turn turn = conductor_.Decide();
  const PhaseSchedule& schedule = conductor_.schedule();
  membership_.SetTotalSteps(schedule.total_steps());
  PhaseOutcome evaluated;
  evaluated.name = NameOf(schedule.phases()[turn.evaluated.phase]);
  evaluated.first_step = turn.evaluated.first_step;
  evaluated.end_step = step;
  evaluated.evaluation = turn.entry.evaluation();
  observer_->OnEvaluation(evaluated);
  std::vector<Outgoing> out;
  if (turn.next_phase) {
    result_.phases.back() = evaluated;
    BeginPhase();
    // Before the decision: a rank that goes on has the plan already.
    const auto plan = publisher_->OnPhase(PhaseCompression(), profiler_->Sizes(), step);
    out = PublishDecision(kNoDecision, plan);
    if (over_) return out;
  }
  observer_->OnPhase(result_.phases.back(), schedule.total_steps());
  proto::PhaseDecision decision;
  *decision.mutable_envelope() = Stamp();
  *decision.mutable_entry() = turn.entry;
  for (Outgoing& more : ToWorkers(decision)) out.push_back(std::move(more));
  return out;
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::OnWorkerDone(
    MemberId id, const proto::WorkerDone& done) {
  // A program that is through does not join again, whatever has become of its generation.
  if (!Accept(id, done.envelope()) || (phase() != Phase::kRunning && !late_model())) return {};
  Member& member = members_.at(id);
  if (member.process.role() != proto::ROLE_WORKER || member.done) return {};
  member.done = true;
  done_steps_ = std::max(done_steps_, done.steps());
  detector_.OnDone(done.rank());
  AddEvaluation(done.evaluation(), &result_.evaluation);
  return FinishIfAllDone();
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::FinishIfAllDone() {
  bool any = false;
  for (const auto& [other, info] : membership_.members()) {
    if (info.rank < 0) continue;
    if (!members_.at(other).done) return {};
    any = true;
  }
  if (!any) return {};
  if (phase() == Phase::kForming) {
    // What a lost rank did not report of the last steps is known from the others.
    const std::vector<ClusterStep> partial = ledger_.Regroup(membership_.world_size(), done_steps_);
    if (!partial.empty()) observer_->OnSteps(partial);
  }
  result_.totals = ledger_.totals();
  if (ledger_.next().value != done_steps_) {
    return FailOwn(absl::StrCat("all workers are done with ", done_steps_, " steps, but only ",
                                ledger_.next().value, " were reported by every rank"),
                   kExitBug);
  }
  result_.policy_changes = publisher_->changes();
  // Asked to stop after the last step, a job is simply done.
  if (stop_.has_value() && done_steps_ < conductor_.schedule().total_steps()) {
    // A program keeps what it computed its own way.
    if (!late_model() && newest_checkpoint_.value != done_steps_) {
      return FailOwn(absl::StrCat(stop_->why, "; no checkpoint could be written"),
                     stop_->exit_code);
    }
    result_.stopped_by = stop_->why;
  }
  result_.phases.back().end_step = done_steps_;
  result_.phases.back().evaluation = result_.evaluation;
  result_.wall = last_report_ - started_;
  result_.lags = detector_.lags();
  result_.stalls = detector_.stalls();
  result_.stalled = detector_.stalled();
  over_ = true;
  membership_.Finish();
  ended_ = clock_();
  observer_->OnEnd(result_);
  proto::Shutdown shutdown;
  *shutdown.mutable_envelope() = Stamp();
  shutdown.set_reason("the job is done");
  return Broadcast(shutdown);
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::OnLost(MemberId id,
                                                                 const std::string& how) {
  members_.erase(id);
  std::vector<Outgoing> out = Follow(membership_.OnLost(id, how, clock_()));
  if (over_ || !late_model()) return out;
  for (Outgoing& more : FinishIfAllDone()) out.push_back(std::move(more));
  return out;
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::OnLeave(MemberId id,
                                                                  const proto::Leave& leave) {
  if (over_ || leave.envelope().job_id() != options_.job_id) {
    ++dropped_;
    return {};
  }
  if (leave.alone() && options_.job.world().min_size() > 0) {
    // Of a program what started it may speak, over a line of its own.
    for (const auto& [other, member] : members_) {
      if (SameProcess(member.process, leave.process())) id = other;
    }
    return Follow(membership_.OnLeave(id, leave.reason(), clock_()));
  }
  if (stop_.has_value()) return {};
  return OnStopRequest(absl::StrCat(leave.reason(), " to ", Describe(leave.process())),
                       leave.exit_code(), true);
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::OnHeld(MemberId id,
                                                                 const proto::Held& held) {
  if (!Accept(id, held.envelope())) return {};
  return Follow(membership_.OnHeld(id, held.serial(), held.begun_step(), clock_()));
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::OnFailureReport(
    MemberId id, const proto::Failure& failure) {
  auto found = members_.find(id);
  // Before it joins, a process of this job says itself who it is.
  const bool joining = found == members_.end() && phase() == Phase::kForming;
  if ((found == members_.end() && !joining) || over_ ||
      failure.envelope().job_id() != options_.job_id) {
    ++dropped_;
    return {};
  }
  proto::Failure known = failure;
  if (!joining) *known.mutable_culprit() = found->second.process;
  known.set_cause(absl::StrCat(Describe(known.culprit()), ": ", known.cause()));
  if (known.exit_code() == 0) known.set_exit_code(kExitTraining);
  if (!failure.secondary()) return Fail(std::move(known));
  const bool of_this_generation =
      membership_.formed() && failure.envelope().generation() == membership_.generation();
  if (options_.job.world().min_size() > 0 && !of_this_generation) return {};
  if (!secondary_.has_value()) secondary_since_ = clock_();
  if (!secondary_.has_value() || (known.waited() && !secondary_->waited())) {
    secondary_ = std::move(known);
  }
  return {};
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::OnStopRequest(const std::string& why,
                                                                        int exit_code,
                                                                        bool orderly) {
  const double grace = options_.job.checkpoint().grace_seconds();
  if (!orderly || stop_.has_value() || grace <= 0 || !membership_.formed()) {
    return FailOwn(why, exit_code);
  }
  stop_ = Stop{why, exit_code, clock_() + absl::Seconds(grace)};
  return Follow(membership_.Request(true, proto::Boundary::THEN_LEAVE, why));
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::OnCheckpointRequest() {
  return Follow(membership_.Request(true, proto::Boundary::THEN_CONTINUE, "on request"));
}

void CoordinatorState::Report(const std::vector<CheckpointResult>& dropped) {
  for (const CheckpointResult& result : dropped) observer_->OnCheckpoint(result);
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::OnCheckpointPart(
    MemberId id, const proto::CheckpointPart& part) {
  if (!Accept(id, part.envelope())) return {};
  CheckpointLedger::Progress progress = checkpoints_.OnPart(part);
  Report(progress.dropped);
  std::vector<proto::CheckpointCommit> commits;
  for (const CheckpointResult& dropped : progress.dropped) {
    commits.emplace_back().set_step(dropped.step.value);  // without files: rank 0 need not wait
  }
  if (progress.commit.has_value()) {
    proto::CheckpointCommit& commit = commits.emplace_back(*std::move(progress.commit));
    *commit.mutable_schedule() = conductor_.LogUpTo(commit.step());
    if (auto state = publisher_->SaveState(Step(commit.step()))) {
      *commit.mutable_policy_state() = *std::move(state);
    }
  }
  std::vector<Outgoing> out;
  for (const auto& [other, member] : membership_.members()) {
    if (member.rank != 0) continue;
    for (proto::CheckpointCommit& commit : commits) {
      *commit.mutable_envelope() = Stamp();
      out.push_back({other, commit});
    }
  }
  return out;
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::OnCheckpointDone(
    MemberId id, const proto::CheckpointDone& done) {
  if (!Accept(id, done.envelope())) return {};
  const std::optional<CheckpointResult> result = checkpoints_.OnDone(done);
  if (!result.has_value()) return {};
  if (!result->path.empty()) {
    result_.checkpoint_path = result->path;
    newest_checkpoint_ = result->step;
  }
  observer_->OnCheckpoint(*result);
  return {};
}

std::vector<CoordinatorState::Outgoing> CoordinatorState::OnTick() {
  if (over_) return {};
  if (stop_.has_value() && clock_() > stop_->deadline) {
    return FailOwn(absl::StrCat(stop_->why, "; no checkpoint could be written within ",
                                options_.job.checkpoint().grace_seconds(), " s"),
                   stop_->exit_code);
  }
  std::vector<Outgoing> out = Follow(membership_.OnTick(clock_()));
  if (const std::string waiting = membership_.TakeWaiting(clock_()); !waiting.empty()) {
    SLUICE_LOG(Warning, waiting);
  }
  if (!over_ && secondary_.has_value() && clock_() - secondary_since_ > kCauseGrace) {
    const proto::Failure failure = *std::exchange(secondary_, std::nullopt);
    for (Outgoing& more : options_.job.world().min_size() > 0
                              ? Follow(membership_.OnTrouble(failure.cause(), clock_()))
                              : Fail(failure)) {
      out.push_back(std::move(more));
    }
  }
  if (phase() == Phase::kRunning) {
    if (gatherer_.has_value()) {
      for (Outgoing& more : Decide(gatherer_->OnTick(clock_()))) out.push_back(std::move(more));
    }
    for (Outgoing& more : ReportFindings()) out.push_back(std::move(more));
  }
  return out;
}

bool CoordinatorState::MayLeave() const {
  return over_ && (members_.empty() || clock_() - ended_ > kLeaveGrace);
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
  if (over_) return {};
  over_ = true;
  membership_.Finish();
  ended_ = clock_();
  *failure.mutable_envelope() = Stamp();
  exit_code_ = failure.exit_code();
  observer_->OnEnd(failure);
  return Broadcast(failure);
}

}  // namespace sluice
