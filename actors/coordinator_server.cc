#include "actors/coordinator_server.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "actors/coordinator_actor.h"
#include "actors/messages.h"
#include "actors/secure_middleman.h"
#include "base/status_macros.h"
#include "caf/io/all.hpp"
#include "security/secure_channel.h"

namespace sluice {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(100);

class CafCoordinatorServer : public CoordinatorServer {
 public:
  CafCoordinatorServer() : system_(config_) {}

  ~CafCoordinatorServer() override {
    // A published or living actor keeps the actor system from ending.
    if (port_ != 0) middleman_->Unpublish(coordinator_, port_);
    caf::anon_send_exit(coordinator_, caf::exit_reason::user_shutdown);
    coordinator_ = CoordinatorHandle();
  }

  absl::Status Listen(Options options, CoordinatorObserver* observer) {
    job_id_ = options.state.job_id;
    SLUICE_ASSIGN_OR_RETURN(auto state,
                            CoordinatorState::Create(
                                std::move(options.state), [] { return absl::Now(); }, observer));
    auto box = std::make_shared<std::unique_ptr<CoordinatorState>>(std::move(state));
    // Detached: planning and the observer's files must not hold up CAF's own actors.
    coordinator_ = system_.spawn<caf::detached>(
        CoordinatorActor, box, std::move(options.stop_reason), [this](int exit_code) {
          absl::MutexLock lock(&mu_);
          exit_code_ = exit_code;
        });
    SLUICE_ASSIGN_OR_RETURN(auto context, SecureContext::Create(options.credentials, job_id_));
    middleman_ = std::make_unique<SecureMiddleman>(system_, std::move(context));
    const auto port = middleman_->Publish(coordinator_, options.bind_host, options.port);
    if (!port.ok()) {
      return absl::UnavailableError(absl::StrCat(
          "cannot listen on ", options.bind_host, ":", options.port, ": ", port.status().message(),
          ". Leave --coordinator-port out to take a free one"));
    }
    port_ = *port;
    return absl::OkStatus();
  }

  uint16_t port() const override { return port_; }

  void Stop(const std::string& why, int exit_code, bool orderly) override {
    caf::anon_send(coordinator_, StopAtom::value, job_id_, why, exit_code, orderly);
  }

  void RequestCheckpoint() override {
    caf::anon_send(coordinator_, CheckpointAtom::value, job_id_);
  }

  // Ticks come from here and not from the actor itself: a delayed message to oneself that is still in CAF's
  // clock when the actor system ends is a reference that nobody drops, and the end of the system waits for it.
  int WaitEnd() override {
    absl::MutexLock lock(&mu_);
    const auto ended = [this]()
                           ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return exit_code_.has_value(); };
    while (!mu_.AwaitWithTimeout(absl::Condition(&ended), kTick)) {
      caf::anon_send(coordinator_, TickAtom::value);
    }
    return *exit_code_;
  }

 private:
  uint16_t port_ = 0;
  std::string job_id_;
  absl::Mutex mu_;
  std::optional<int> exit_code_ ABSL_GUARDED_BY(mu_);
  // Last, so that they end first: the system's end waits for the actor, which uses all of the above.
  ActorConfig config_;
  caf::actor_system system_;
  std::unique_ptr<SecureMiddleman> middleman_;
  CoordinatorHandle coordinator_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<CoordinatorServer>> CoordinatorServer::Start(
    Options options, CoordinatorObserver* observer) {
  auto server = std::make_unique<CafCoordinatorServer>();
  SLUICE_RETURN_IF_ERROR(server->Listen(std::move(options), observer));
  return server;
}

}  // namespace sluice
