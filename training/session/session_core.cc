#include "training/session/session_core.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <exception>
#include <map>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "comm/transport/ucx_transport.h"
#include "proto/launch.pb.h"
#include "security/credentials.h"
#include "training/session/session_fd.h"

namespace sluice {
namespace {

// How long members of an elastic job look for a coordinator that is started again.
constexpr absl::Duration kReconnect = absl::Seconds(60);
// How long a rank that is through waits for the end of a generation that others were lost from.
constexpr absl::Duration kEndWait = absl::Seconds(60);
constexpr size_t kMostStartBytes = 4 << 20;

constexpr char kHowToStart[] =
    "Start it with `orchestrator run -np N -- PROGRAM`, or with `orchestrator worker JOB -- "
    "PROGRAM` under srun, "
    "mpirun or torchrun";

std::string HostName() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 ? name : "localhost";
}

// Reads what `orchestrator worker` has left for us. \return its descriptor
absl::StatusOr<int> ReadStart(proto::SessionStart& start) {
  const char* text = std::getenv(kSessionFdVariable);
  int fd = -1;
  if (text == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(
        "this process is not part of a job: ", kSessionFdVariable, " is not set. ", kHowToStart));
  }
  if (!absl::SimpleAtoi(text, &fd) || fd < 0) {
    return absl::FailedPreconditionError(absl::StrCat(kSessionFdVariable, " is \"", text,
                                                      "\", expected a descriptor. ", kHowToStart));
  }
  std::string bytes;
  char piece[4096];
  for (;;) {
    const ssize_t n = read(fd, piece, sizeof(piece));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0 || bytes.size() > kMostStartBytes) break;
    bytes.append(piece, static_cast<size_t>(n));
  }
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  if (!bytes.empty() && start.ParseFromString(bytes)) return fd;
  return absl::FailedPreconditionError(absl::StrCat(
      "descriptor ", fd, " (", kSessionFdVariable,
      ") has nothing to join with: Session::Join works once per process, and not in its children"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<SessionCore>> SessionCore::Join() {
  proto::SessionStart start;
  SLUICE_ASSIGN_OR_RETURN(const int fd, ReadStart(start));
  std::unique_ptr<SessionCore> core(new SessionCore);
  core->fd_ = fd;
  SLUICE_RETURN_IF_ERROR(SetLogLevel(start.log_level()));
  SetLogIdentity(absl::StrCat("worker ", start.slot(), " ", HostName()));

  JobMember::Options options;
  options.job = start.job();
  options.job_digest = start.job_digest();
  options.process.set_role(proto::ROLE_WORKER);
  options.process.set_slot(start.slot());
  options.process.set_host(HostName());
  options.process.set_pid(getpid());
  options.start_timeout = absl::Seconds(start.start_timeout_seconds());
  core->patience_ =
      std::max(options.start_timeout, absl::Seconds(start.job().communication().timeout_seconds()));
  JobMember::Events events;
  SessionCore* const raw = core.get();
  events.on_over = [raw](const std::string& cause) { raw->AbortWorld(cause); };
  const bool elastic = start.job().world().min_size() > 0;
  const auto connect =
      [&](MemberClient::Events client_events) -> absl::StatusOr<std::shared_ptr<MemberClient>> {
    MemberClient::Options client;
    client.coordinator_host = start.coordinator_host();
    client.coordinator_port = static_cast<uint16_t>(start.coordinator_port());
    client.job_id = start.job_id();
    client.connect_timeout = options.start_timeout;
    if (elastic) client.reconnect_timeout = kReconnect;
    SLUICE_ASSIGN_OR_RETURN(client.credentials, ParseCredentials(start.credentials()));
    SLUICE_RETURN_IF_ERROR(CheckCredentials(client.credentials, absl::Now()));
    return MemberClient::Connect(client, std::move(client_events));
  };
  SLUICE_ASSIGN_OR_RETURN(core->member_, JobMember::Connect(options, std::move(events), connect));
  core->Mark(kSessionJoined);
  absl::Status entered = core->EnterGeneration();
  if (!entered.ok() && core->member_->elastic()) entered = core->NextGeneration(entered);
  SLUICE_RETURN_IF_ERROR(core->Note(std::move(entered)));
  return core;
}

SessionCore::~SessionCore() {
  if (member_ != nullptr && !left_) {
    (void)Leave(std::uncaught_exceptions() > 0
                    ? absl::InternalError("the program ends by an exception")
                    : failed_);
  }
  CloseGeneration();
  if (fd_ >= 0) close(fd_);
}

void SessionCore::Mark(const char* mark) const {
  if (write(fd_, mark, 1) != 1) SLUICE_LOG(Debug, "nobody listens at ", kSessionFdVariable);
}

absl::Status SessionCore::EnterGeneration() {
  // Earlier ends are no business of the generation that starts.
  SLUICE_ASSIGN_OR_RETURN(Joined joined, member_->Join(completed_, {}));
  start_ = joined.start;
  reducing_ = false;
  completed_ = Step(start_.start_step());
  std::map<std::string, int> numbers;
  hosts_.clear();
  std::vector<int> all;
  for (int rank = 0; rank < start_.world_size(); ++rank) {
    const auto number = static_cast<int>(numbers.size());
    hosts_.push_back(numbers.emplace(start_.processes(rank).host(), number).first->second);
    all.push_back(rank);
  }
  const auto& addresses = start_.transport_addresses();
  SLUICE_ASSIGN_OR_RETURN(transport_,
                          std::move(*joined.seed)
                              .Connect(Rank(start_.rank()),
                                       {addresses.begin(), addresses.begin() + start_.world_size()},
                                       member_->client().CollectivesKey(generation())));
  groups_.clear();
  groups_.push_back(
      std::make_unique<GroupLink>(*transport_, std::move(all), 0, hosts_,
                                  absl::Seconds(member_->job().communication().timeout_seconds())));
  absl::MutexLock lock(&mu_);
  live_transport_ = transport_.get();
  // It may have ended since.
  if (member_->gate().over()) transport_->Abort(over_cause_);
  return absl::OkStatus();
}

// On an actor thread.
void SessionCore::AbortWorld(const std::string& cause) {
  absl::MutexLock lock(&mu_);
  over_cause_ = cause;
  if (live_transport_ != nullptr) live_transport_->Abort(cause);
}

void SessionCore::CloseGeneration() {
  if (user_ != nullptr) user_->Detach();
  if (member_ != nullptr) member_->StopReducing();
  {
    absl::MutexLock lock(&mu_);
    live_transport_ = nullptr;
  }
  groups_.clear();
  transport_.reset();
}

absl::StatusOr<int> SessionCore::NewGroup(const std::vector<int>& ranks) {
  std::vector<int> sorted = ranks;
  std::sort(sorted.begin(), sorted.end());
  const std::string text = absl::StrCat("a new group of ranks [", absl::StrJoin(sorted, ", "), "]");
  if (sorted.empty() || sorted.front() < 0 || sorted.back() >= start_.world_size() ||
      std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat(text, ": expected different ranks in [0, ", start_.world_size() - 1, "]"));
  }
  if (groups_.size() >= GroupLink::kMostGroups) {
    return absl::ResourceExhaustedError(
        absl::StrCat("a generation has at most ", GroupLink::kMostGroups - 1, " groups"));
  }
  SLUICE_RETURN_IF_ERROR(Collectively([&] { return world().Agree(text); }));
  const int number = static_cast<int>(groups_.size());
  groups_.emplace_back();
  if (std::binary_search(sorted.begin(), sorted.end(), start_.rank())) {
    std::vector<int> hosts;
    for (int rank : sorted) hosts.push_back(hosts_[static_cast<size_t>(rank)]);
    groups_.back() = std::make_unique<GroupLink>(
        *transport_, sorted, number, std::move(hosts),
        absl::Seconds(member_->job().communication().timeout_seconds()));
  }
  return number;
}

absl::Status SessionCore::StartReducing(const std::vector<proto::TensorSpec>& tensors,
                                        int64_t total_steps) {
  if (reducing_) {
    return absl::FailedPreconditionError("a session has one DistributedOptimizer");
  }
  reducing_ = true;
  SLUICE_ASSIGN_OR_RETURN(auto seed,
                          UcxEndpointSeed::Create({member_->job().communication().transports()}));
  proto::Registration registration;
  registration.set_rank(start_.rank());
  registration.mutable_tensors()->Assign(tensors.begin(), tensors.end());
  registration.set_total_steps(total_steps);
  registration.set_transport_address(seed->address());
  SLUICE_ASSIGN_OR_RETURN(const proto::StartGeneration start,
                          member_->AwaitModel(std::move(registration)));
  return member_->StartReducing(start, std::move(seed),
                                member_->client().TransportKey(generation()), nullptr);
}

absl::Status SessionCore::NextGeneration(const absl::Status& error) {
  absl::Status status = error;
  while (!status.ok()) {
    if (stopping_) return status;
    const absl::Status after = member_->AfterError(status, completed_);
    if (!after.ok()) {
      // Asked to leave while the others go on: nothing has failed.
      const auto end = member_->client().WaitEnd(absl::ZeroDuration());
      stopping_ = end.ok() && end->exit_code == 0;
      return after;
    }
    SLUICE_LOG(Info, "the generation is over: ", status.message(), ". Joining the next one");
    if (member_->reducing()) member_->reporter().Flush(member_->reducer());
    CloseGeneration();
    failed_ = absl::OkStatus();
    status = EnterGeneration();
    if (status.ok() && user_ != nullptr) status = user_->Attach();
  }
  return absl::OkStatus();
}

absl::Status SessionCore::Over() const {
  return failed_.ok() ? absl::FailedPreconditionError("the session has left the job") : failed_;
}

absl::Status SessionCore::Note(absl::Status status) {
  // Ranks that disagree are still in step, and can do something else.
  if (!status.ok() && failed_.ok() && !absl::IsFailedPrecondition(status) &&
      !absl::IsInvalidArgument(status)) {
    failed_ = status;
  }
  return status;
}

int SessionCore::Leave(const absl::Status& outcome) {
  if (left_) return exit_code_;
  left_ = true;
  if (outcome.ok() || stopping_) {
    if (member_->reducing()) member_->reporter().Flush(member_->reducer());
    proto::WorkerDone done;
    done.set_rank(start_.rank());
    done.set_steps(completed_.value);
    const absl::Status finished = member_->Finish(std::move(done));
    // A program that is through takes no part in what comes after a loss; the coordinator knows.
    auto end = member_->client().WaitEnd(finished.ok() ? absl::ZeroDuration() : kEndWait);
    exit_code_ = end.ok() ? end->exit_code : kExitOk;
    if (exit_code_ != kExitOk) SLUICE_LOG(Error, "the job failed: ", end->cause);
  } else {
    exit_code_ = member_->Leave(outcome, completed_);
    if (exit_code_ == kExitOk) exit_code_ = ExitCodeForStatus(outcome);
  }
  CloseGeneration();
  Mark(kSessionLeft);
  return exit_code_;
}

}  // namespace sluice
