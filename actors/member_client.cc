#include "actors/member_client.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "actors/member_actor.h"
#include "actors/messages.h"
#include "base/status_macros.h"
#include "caf/io/all.hpp"

namespace sluice {
namespace {

absl::StatusOr<CoordinatorHandle> ConnectOnce(caf::actor_system& system,
                                              const MemberClient::Options& options) {
  caf::scoped_actor self{system};
  absl::StatusOr<CoordinatorHandle> result = absl::UnknownError("no answer");
  // remote_actor would wait for ever for a frozen peer; a request has a timeout.
  self->request(system.middleman().actor_handle(), std::chrono::seconds(2),
                caf::connect_atom::value, options.coordinator_host, options.coordinator_port)
      .receive(
          [&](const caf::node_id&, caf::strong_actor_ptr& handle, const std::set<std::string>&) {
            if (handle == nullptr) {
              result = absl::UnavailableError("nothing is published on that port");
            } else {
              result = caf::actor_cast<CoordinatorHandle>(handle);
            }
          },
          [&](caf::error& error) { result = absl::UnavailableError(system.render(error)); });
  return result;
}

class CafMemberClient : public MemberClient {
 public:
  CafMemberClient(std::function<void(const proto::PolicyUpdate&)> on_policy,
                  std::function<void(const End&)> on_end)
      : on_policy_(std::move(on_policy)), on_end_(std::move(on_end)), system_(config_) {}

  ~CafMemberClient() override {
    // An actor that lives keeps the actor system from ending.
    caf::anon_send_exit(member_, caf::exit_reason::user_shutdown);
    member_ = MemberHandle();
  }

  absl::Status ConnectWithin(const Options& options) {
    const absl::Time begin = absl::Now();
    absl::Duration pause = absl::Milliseconds(50);
    while (true) {
      absl::StatusOr<CoordinatorHandle> coordinator = ConnectOnce(system_, options);
      if (coordinator.ok()) {
        MemberEvents events;
        events.on_start = [this](const proto::StartGeneration& start) {
          absl::MutexLock lock(&mu_);
          start_ = start;
        };
        events.on_policy = on_policy_;
        events.on_end = [this](const std::string& cause, int exit_code) {
          const End end{cause, exit_code};
          {
            absl::MutexLock lock(&mu_);
            end_ = end;
          }
          on_end_(end);
        };
        member_ = system_.spawn(MemberActor, *coordinator, options.job_id, std::move(events));
        return absl::OkStatus();
      }
      const absl::Duration waited = absl::Now() - begin;
      if (waited + pause > options.connect_timeout) {
        return absl::UnavailableError(
            absl::StrCat("cannot reach the coordinator at ", options.coordinator_host, ":",
                         options.coordinator_port, " after ",
                         absl::FormatDuration(absl::Trunc(waited, absl::Milliseconds(1))), ": ",
                         coordinator.status().message()));
      }
      absl::SleepFor(pause);
      pause = std::min(2 * pause, absl::Seconds(1));
    }
  }

  absl::StatusOr<proto::StartGeneration> Join(proto::Join join, absl::Duration timeout) override {
    caf::anon_send(member_, Pb<proto::Join>{std::move(join)});
    absl::MutexLock lock(&mu_);
    const auto decided = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      return start_.has_value() || end_.has_value();
    };
    if (!mu_.AwaitWithTimeout(absl::Condition(&decided), timeout)) {
      return absl::DeadlineExceededError(
          absl::StrCat("the generation did not start within ", absl::FormatDuration(timeout)));
    }
    if (end_.has_value()) return absl::AbortedError(end_->cause);
    return *start_;
  }

  void Send(proto::StepReport report) override { Forward(std::move(report)); }
  void Send(proto::Statistics statistics) override { Forward(std::move(statistics)); }
  void Send(proto::WorkerDone done) override { Forward(std::move(done)); }
  void Send(proto::Heartbeat heartbeat) override { Forward(std::move(heartbeat)); }
  void Send(proto::Failure failure) override { Forward(std::move(failure)); }

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
  template <class Message>
  void Forward(Message message) {
    caf::anon_send(member_, Pb<Message>{std::move(message)});
  }

  const std::function<void(const proto::PolicyUpdate&)> on_policy_;
  const std::function<void(const End&)> on_end_;
  absl::Mutex mu_;
  std::optional<proto::StartGeneration> start_ ABSL_GUARDED_BY(mu_);
  std::optional<End> end_ ABSL_GUARDED_BY(mu_);
  // Last, so that they end first: the system's end waits for the actor, which uses all of the above.
  ActorConfig config_;
  caf::actor_system system_;
  MemberHandle member_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<MemberClient>> MemberClient::Connect(
    const Options& options, std::function<void(const proto::PolicyUpdate&)> on_policy,
    std::function<void(const End&)> on_end) {
  auto client = std::make_unique<CafMemberClient>(std::move(on_policy), std::move(on_end));
  SLUICE_RETURN_IF_ERROR(client->ConnectWithin(options));
  return client;
}

}  // namespace sluice
