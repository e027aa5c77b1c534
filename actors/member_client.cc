#include "actors/member_client.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "actors/member_actor.h"
#include "actors/messages.h"
#include "actors/secure_middleman.h"
#include "base/status_macros.h"
#include "security/keyed_hash.h"
#include "security/secure_channel.h"

namespace sluice {
namespace {

// A connection that both sides secure takes this long only on a machine that is out of breath.
constexpr absl::Duration kAttempt = absl::Seconds(10);

class CafMemberClient : public MemberClient {
 public:
  explicit CafMemberClient(Events events) : events_(std::move(events)), system_(config_) {}

  ~CafMemberClient() override {
    // An actor that lives keeps the actor system from ending.
    caf::anon_send_exit(member_, caf::exit_reason::user_shutdown);
    member_ = MemberHandle();
    Wipe(transport_secret_);
  }

  absl::Status ConnectWithin(const Options& options) {
    SLUICE_ASSIGN_OR_RETURN(auto context,
                            SecureContext::Create(options.credentials, options.job_id));
    middleman_ = std::make_unique<SecureMiddleman>(system_, std::move(context));
    transport_secret_ = DeriveKey(options.credentials.token,
                                  absl::StrCat("sluice data plane of job ", options.job_id));
    host_ = options.coordinator_host;
    port_ = options.coordinator_port;
    reconnect_timeout_ = options.reconnect_timeout;
    last_.set_job_id(options.job_id);
    return Attach(options.connect_timeout);
  }

  absl::StatusOr<proto::StartGeneration> Join(proto::Join join, absl::Duration timeout) override {
    const absl::Time deadline = absl::Now() + timeout;
    for (;;) {
      if (lost()) SLUICE_RETURN_IF_ERROR(Attach(reconnect_timeout_));
      absl::MutexLock lock(&mu_);
      start_.reset();
      caf::anon_send(member_, Pb<proto::Join>{join});
      const auto decided = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
        return start_.has_value() || end_.has_value() || lost_;
      };
      if (!mu_.AwaitWithDeadline(absl::Condition(&decided), deadline)) {
        return absl::DeadlineExceededError(
            absl::StrCat("the generation did not start within ", absl::FormatDuration(timeout)));
      }
      if (end_.has_value()) return absl::AbortedError(end_->cause);
      if (start_.has_value() && !lost_) return *start_;
    }
  }

  void Send(proto::Registration registration) override { Forward(std::move(registration)); }
  void Send(proto::StepReport report) override { Forward(std::move(report)); }
  void Send(proto::Statistics statistics) override { Forward(std::move(statistics)); }
  void Send(proto::PhaseEvaluation evaluation) override { Forward(std::move(evaluation)); }
  void Send(proto::WorkerDone done) override { Forward(std::move(done)); }
  void Send(proto::CheckpointPart part) override { Forward(std::move(part)); }
  void Send(proto::CheckpointDone done) override { Forward(std::move(done)); }
  void Send(proto::Heartbeat heartbeat) override { Forward(std::move(heartbeat)); }
  void Send(proto::Failure failure) override { Forward(std::move(failure)); }
  void Send(proto::Leave leave) override { Forward(std::move(leave)); }

  std::string TransportKey(int64_t generation) const override {
    return DeriveKey(transport_secret_, absl::StrCat("generation ", generation));
  }

  std::string CollectivesKey(int64_t generation) const override {
    return DeriveKey(transport_secret_, absl::StrCat("collectives of generation ", generation));
  }

  absl::StatusOr<End> WaitEnd(absl::Duration timeout) override {
    absl::MutexLock lock(&mu_);
    const auto ended = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return end_.has_value(); };
    if (!mu_.AwaitWithTimeout(absl::Condition(&ended), timeout)) {
      return absl::DeadlineExceededError(
          absl::StrCat("no word from the coordinator for ", absl::FormatDuration(timeout)));
    }
    return *end_;
  }

 private:
  bool lost() {
    absl::MutexLock lock(&mu_);
    return lost_;
  }

  MemberEvents ActorEvents() {
    MemberEvents events;
    events.on_start = [this](const proto::StartGeneration& start) {
      events_.on_start(start);
      absl::MutexLock lock(&mu_);
      start_ = start;
      last_ = start.envelope();
    };
    events.on_model = events_.on_model;
    events.on_policy = events_.on_policy;
    events.on_generation_over = events_.on_generation_over;
    events.on_hold = events_.on_hold;
    events.on_boundary = events_.on_boundary;
    events.on_phase = events_.on_phase;
    events.on_commit = events_.on_commit;
    events.on_lost = [this](const std::string& cause) {
      if (reconnect_timeout_ <= absl::ZeroDuration()) return false;
      {
        absl::MutexLock lock(&mu_);
        lost_ = true;
      }
      proto::EndGeneration over;
      over.set_reason(cause);
      events_.on_generation_over(over);
      return true;
    };
    events.on_end = [this](const std::string& cause, int exit_code) {
      const End end{cause, exit_code};
      {
        absl::MutexLock lock(&mu_);
        end_ = end;
      }
      events_.on_end(end);
    };
    return events;
  }

  // A new line to the coordinator, in the place of the old one if there was one.
  absl::Status Attach(absl::Duration patience) {
    const absl::Time begin = absl::Now();
    absl::Duration pause = absl::Milliseconds(50);
    while (true) {
      const absl::StatusOr<CoordinatorHandle> coordinator =
          middleman_->Connect(host_, port_, kAttempt);
      if (coordinator.ok()) {
        if (member_) caf::anon_send_exit(member_, caf::exit_reason::user_shutdown);
        absl::MutexLock lock(&mu_);
        lost_ = false;
        member_ = system_.spawn(MemberActor, *coordinator, last_, ActorEvents());
        return absl::OkStatus();
      }
      const std::string where = absl::StrCat(host_, ":", port_);
      if (!absl::IsUnavailable(coordinator.status())) {  // another attempt would end alike
        return absl::Status(
            coordinator.status().code(),
            absl::StrCat(absl::IsUnauthenticated(coordinator.status()) ? "SL1080 " : "",
                         "cannot join the coordinator at ", where, ": ",
                         coordinator.status().message()));
      }
      const absl::Duration waited = absl::Now() - begin;
      if (waited + pause > patience) {
        return absl::UnavailableError(
            absl::StrCat("cannot reach the coordinator at ", where, " after ",
                         absl::FormatDuration(absl::Trunc(waited, absl::Milliseconds(1))), ": ",
                         coordinator.status().message()));
      }
      absl::SleepFor(pause);
      pause = std::min(2 * pause, absl::Seconds(1));
    }
  }

  // On threads that do not join meanwhile, or the one that does.
  template <class Message>
  void Forward(Message message) {
    absl::MutexLock lock(&mu_);
    caf::anon_send(member_, Pb<Message>{std::move(message)});
  }

  const Events events_;
  // Constant once connected.
  std::string host_;
  uint16_t port_ = 0;
  absl::Duration reconnect_timeout_;
  std::string transport_secret_;
  absl::Mutex mu_;
  std::optional<proto::StartGeneration> start_ ABSL_GUARDED_BY(mu_);
  std::optional<End> end_ ABSL_GUARDED_BY(mu_);
  bool lost_ ABSL_GUARDED_BY(mu_) = false;     // the coordinator is, and Join is to look for it
  proto::Envelope last_ ABSL_GUARDED_BY(mu_);  // of the last generation
  // Last, so that they end first: the system's end waits for the actor, which uses all of the above.
  ActorConfig config_;
  caf::actor_system system_;
  std::unique_ptr<SecureMiddleman> middleman_;
  MemberHandle member_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<MemberClient>> MemberClient::Connect(const Options& options,
                                                                    Events events) {
  auto client = std::make_unique<CafMemberClient>(std::move(events));
  SLUICE_RETURN_IF_ERROR(client->ConnectWithin(options));
  return client;
}

}  // namespace sluice
